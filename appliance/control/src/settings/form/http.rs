//! What a health check over HTTP asks and expects.

use std::ops::RangeInclusive;

use super::Wrong;

/// `204` or `200-399`.
pub(super) fn statuses(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let status = |part: &str| match part.trim().parse() {
        Ok(status @ 100..=599) => Ok(status),
        Ok(_) | Err(_) => {
            Err(Wrong::new(format!("\"{text}\": an HTTP status is 100 to 599, not \"{part}\"")))
        }
    };
    let (low, high): (u16, u16) = (status(low)?, status(high)?);
    if low > high {
        return Err(Wrong::with_help(
            format!("\"{text}\" runs backwards"),
            format!("write \"{high}-{low}\""),
        ));
    }
    Ok(low..=high)
}

/// What may stand in a request line (RFC 9112, section 3.2.1).
pub(super) fn http_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return Err(Wrong::with_help(
            format!("\"{text}\" does not start with '/'"),
            format!("write \"/{text}\""),
        ));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(Wrong::with_help(
            format!("\"{text}\" cannot contain {bad:?}"),
            "encode it with a percent sign, such as %20",
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn http_host(text: &str) -> Result<String, Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    match text.chars().find(|c| !good(*c)) {
        None if text.is_empty() => Err(Wrong::new("a host cannot be empty")),
        None => Ok(text.to_owned()),
        Some(bad) => Err(Wrong::new(format!("\"{text}\" cannot contain {bad:?}"))),
    }
}
