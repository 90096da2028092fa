//! The clockwork of an election.

use std::time::Duration;

use thiserror::Error;

/// client-go's names and rules.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    #[error("lease duration {0:?}: must be whole seconds, at least one and at most an hour")]
    LeaseDuration(Duration),
    #[error("renew deadline {deadline:?}: must be shorter than the lease duration {lease:?}")]
    RenewDeadline { deadline: Duration, lease: Duration },
    #[error(
        "retry period {retry:?}: must be above zero, and at most a half of the renew deadline {deadline:?}"
    )]
    RetryPeriod { retry: Duration, deadline: Duration },
}

impl Settings {
    /// # Errors
    /// When a leader could be replaced before it knows, or could not try twice.
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, SettingsError> {
        let (lease, deadline, retry) = (lease_duration, renew_deadline, retry_period);
        if lease.subsec_nanos() != 0 || lease.is_zero() || lease > Duration::from_hours(1) {
            return Err(SettingsError::LeaseDuration(lease));
        }
        if deadline >= lease {
            return Err(SettingsError::RenewDeadline { deadline, lease });
        }
        if retry.is_zero() || retry > deadline / 2 {
            return Err(SettingsError::RetryPeriod { retry, deadline });
        }
        Ok(Self { lease_duration, renew_deadline, retry_period })
    }

    pub const fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    pub const fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    pub const fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// After this long an answer is not waited for any more: a leader can try again before its deadline.
    pub fn request_timeout(&self) -> Duration {
        self.renew_deadline / 2
    }
}

impl Default for Settings {
    /// Those of Kubernetes' own controllers.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}
