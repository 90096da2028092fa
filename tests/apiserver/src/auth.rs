//! Who asks, and may they: client certificates, bearer tokens, and a list of what is denied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::resource::Resource;
use crate::status::Status;

/// A user as RBAC sees one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub user: String,
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Identity {
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), groups: Vec::new() }
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::new("system:anonymous")
    }

    fn is_anonymous(&self) -> bool {
        self.user == "system:anonymous"
    }
}

/// What somebody wants to do.
#[derive(Copy, Clone, Debug)]
pub struct Asked<'a> {
    pub verb: &'a str,
    pub resource: &'a Resource,
    /// `status`, or empty.
    pub subresource: &'a str,
    pub namespace: Option<&'a str>,
    /// Empty for a list.
    pub name: &'a str,
}

/// Something that is refused with 403. What is left out stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Denial {
    pub user: Option<String>,
    pub verb: Option<String>,
    /// `services`, `services/status`.
    pub resource: Option<String>,
    pub namespace: Option<String>,
}

impl Denial {
    fn covers(&self, user: &str, asked: &Asked<'_>) -> bool {
        let resource = match asked.subresource {
            "" => asked.resource.plural.to_owned(),
            subresource => format!("{}/{subresource}", asked.resource.plural),
        };
        let is_it = |rule: &Option<String>, asked: &str| rule.as_deref().is_none_or(|r| r == asked);
        is_it(&self.user, user)
            && is_it(&self.verb, asked.verb)
            && is_it(&self.resource, &resource)
            && is_it(&self.namespace, asked.namespace.unwrap_or_default())
    }
}

/// Tokens and denials. Everybody who is known may do what is not denied.
#[derive(Clone, Debug, Default)]
pub struct Authority {
    tokens: BTreeMap<String, Identity>,
    denials: Vec<Denial>,
}

impl Authority {
    /// Accepts this bearer token.
    pub fn add_token(&mut self, token: impl Into<String>, identity: Identity) {
        self.tokens.insert(token.into(), identity);
    }

    /// Refuses that token from now on.
    pub fn revoke_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Refuses that from now on.
    pub fn deny(&mut self, denial: Denial) {
        self.denials.push(denial);
    }

    /// Allows everything again.
    pub fn allow_all(&mut self) {
        self.denials.clear();
    }

    /// Who it is, by the header `Authorization`, else by the certificate, else nobody.
    pub fn authenticate(
        &self,
        authorization: Option<&str>,
        certificate: Option<&Identity>,
    ) -> Result<Identity, Status> {
        match (authorization, certificate) {
            (Some(header), _) => {
                let token = header.strip_prefix("Bearer ").unwrap_or_default().trim();
                self.tokens.get(token).cloned().ok_or_else(Status::unauthorized)
            }
            (None, Some(identity)) => Ok(identity.clone()),
            (None, None) => Ok(Identity::anonymous()),
        }
    }

    /// 403 unless they may.
    pub fn authorize(&self, identity: &Identity, asked: &Asked<'_>) -> Result<(), Status> {
        let is_denied = self.denials.iter().any(|denial| denial.covers(&identity.user, asked));
        if identity.is_anonymous() || is_denied {
            return Err(Status::forbidden(asked, &identity.user));
        }
        Ok(())
    }

    /// 403 for a path that only known users may read.
    pub fn authorize_path(identity: &Identity, verb: &str, path: &str) -> Result<(), Status> {
        // What the role system:public-info-viewer lets anybody read.
        let is_public =
            matches!(path, "/healthz" | "/livez" | "/readyz" | "/version" | "/version/");
        if identity.is_anonymous() && !is_public {
            return Err(Status::forbidden_path(&identity.user, verb, path));
        }
        Ok(())
    }
}
