//! The page for people: one table, no scripts, nothing from elsewhere.

use std::fmt::{self, Write};

use super::Sample;

pub(super) const MEDIA_TYPE: &str = "text/html; charset=utf-8";

/// Services that the page shows; the command line and the metrics have more.
const SERVICES_SHOWN: usize = 1000;

const STYLE: &str = "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}\
    td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}.bad{color:#b00}";

/// Text that means nothing in HTML.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The page of a sample.
#[expect(clippy::needless_pass_by_value, reason = "made on another thread, like the metrics")]
pub(super) fn html(sample: Sample) -> Result<String, fmt::Error> {
    let mut page = String::new();
    let status = &sample.status;
    let name = Escaped(&status.name);
    write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><title>{name}: Spillway</title>\
         <style>{STYLE}</style><h1>{name}</h1><table>"
    )?;
    let packets = &status.packets;
    let facts = [
        ("Version", status.version.clone()),
        ("Uptime", format!("{} s", status.uptime_seconds)),
        ("Generation", status.generation.to_string()),
        ("Services", format!("{} with {} frontends", status.services, status.frontends)),
        ("Backends", format!("{} of {} serving", status.backends_serving, status.backends)),
        ("Flows", format!("{} of {}", status.flows, status.flows_max)),
        (
            "Packets",
            format!("{} received, {} sent, {} dropped", packets.rx, packets.tx, packets.dropped),
        ),
    ];
    for (name, value) in facts {
        write!(page, "<tr><th>{name}<td>{}", Escaped(&value))?;
    }
    if let Some(cluster) = &status.cluster {
        let word = if cluster.stale { "<span class=bad>stale</span>" } else { "synced" };
        write!(page, "<tr><th>Cluster<td>{}: {word}", Escaped(&cluster.endpoint))?;
        write!(page, "<tr><th>Refused<td>{}", cluster.refused)?;
    }
    page.push_str("</table>");
    services(&sample, &mut page)?;
    drops(&sample, &mut page)?;
    page.push_str("<p><a href=/metrics>metrics</a></html>\n");
    Ok(page)
}

fn services(sample: &Sample, page: &mut String) -> fmt::Result {
    page.push_str(
        "<h2>Services</h2><table><tr><th>Service<th>Type<th>Frontends<th>Serving\
         <th>Flows admitted<th>Flows refused",
    );
    for service in sample.services.iter().take(SERVICES_SHOWN) {
        let class = if service.backends_serving == 0 { " class=bad" } else { "" };
        write!(
            page,
            "<tr{class}><td>{}<td>{}<td>{}<td>{} of {}<td>{}<td>{}",
            Escaped(&service.name),
            service.kind,
            Escaped(&service.frontends.join(" ")),
            service.backends_serving,
            service.backends,
            service.flows_total,
            service.refused_total,
        )?;
    }
    page.push_str("</table>");
    let shown = sample.services.len().min(SERVICES_SHOWN);
    let all = usize::try_from(sample.status.services).unwrap_or(usize::MAX);
    if all > shown {
        write!(page, "<p>{} more: <code>spillway service list</code>", all - shown)?;
    }
    Ok(())
}

fn drops(sample: &Sample, page: &mut String) -> fmt::Result {
    page.push_str("<h2>Dropped packets</h2><table><tr><th>Reason<th>Packets<th>Meaning");
    for row in sample.drops.drops.iter().filter(|row| row.count > 0) {
        let (reason, meaning) = (Escaped(&row.reason), Escaped(&row.description));
        write!(page, "<tr><td>{reason}<td>{}<td>{meaning}", row.count)?;
    }
    page.push_str("</table>");
    Ok(())
}
