//! The node companion on Debian 12's kernel, Linux 6.1: no TCX, an older verifier, and ipvlan, which may be absent here.

use spillway_tests::error::ensure;
use spillway_tests::mesh::{ECHO_PORT, HTTP_PORT, Mesh, Shape};
use spillway_tests::process::output;
use spillway_tests::report::{self, Requests, Talk};
use spillway_tests::{Result, guest, programs};

#[test]
fn pods_meet_over_vxlan_on_the_other_kernel() {
    guest::test(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        ensure(release.starts_with("6.1."), || format!("this is {release}"))?;
        let mut mesh = Mesh::build(Shape::vxlan(2))?;
        mesh.node_mut(0)?.add_pod(71)?;
        mesh.node_mut(1)?.add_pod(72)?.serve()?;
        let (pod, other) = (mesh.node(0)?.pod(71)?, mesh.node(1)?.pod(72)?);
        let tool = |words: String| -> Result<String> {
            let mut command = pod.command(programs::path(programs::LAB_TOOL)?);
            output(command.args(words.split_whitespace()))
        };
        for address in [other.address().to_string(), format!("[{}]", other.address_v6())] {
            let words = format!("client http --to {address}:{HTTP_PORT} --requests 5");
            let report: Requests = report::parse(&tool(words)?)?;
            ensure(report.ok == 5, || format!("{address}: {report:?}"))?;
            let words = format!("client talk --to {address}:{ECHO_PORT} --datagrams 5");
            let report: Talk = report::parse(&tool(words)?)?;
            ensure(report.answered == 5, || format!("{address}: {report:?}"))?;
        }
        Ok(())
    });
}
