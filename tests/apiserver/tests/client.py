"""What python.rs runs: the server holds the services kubernetes and s0 to s6."""

import datetime

from kubernetes import client, config, watch

config.load_kube_config()
core = client.CoreV1Api()

# LIST in pages of one state.
names, token, versions = [], None, set()
while True:
    page = core.list_service_for_all_namespaces(limit=3, _continue=token)
    names += [item.metadata.name for item in page.items]
    versions.add(page.metadata.resource_version)
    token = page.metadata._continue
    if not token:
        break
assert names == ["kubernetes"] + [f"s{n}" for n in range(7)], names
assert len(versions) == 1, versions

# A status patch is seen by a watch from the version of the list.
body = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}
patched = core.patch_namespaced_service_status("s3", "default", body)
assert patched.status.load_balancer.ingress[0].ip_mode == "VIP", patched.status
core.delete_namespaced_service("s4", "default")
seen = []
stream = watch.Watch().stream(
    core.list_service_for_all_namespaces, resource_version=versions.pop(), timeout_seconds=2
)
for event in stream:
    seen.append((event["type"], event["object"].metadata.name))
assert seen == [("MODIFIED", "s3"), ("DELETED", "s4")], seen

# A stale writer loses.
service = core.read_namespaced_service("s5", "default")
core.patch_namespaced_service("s5", "default", {"metadata": {"labels": {"a": "b"}}})
try:
    core.replace_namespaced_service_status("s5", "default", service)
    raise SystemExit("a stale replace went through")
except client.ApiException as refused:
    assert refused.status == 409, refused

# A Lease is taken and renewed.
leases = client.CoordinationV1Api()
now = datetime.datetime.now(datetime.timezone.utc)
spec = client.V1LeaseSpec(holder_identity="a", lease_duration_seconds=15, renew_time=now)
lease = client.V1Lease(metadata=client.V1ObjectMeta(name="box"), spec=spec)
created = leases.create_namespaced_lease("kube-system", lease)
created.spec.holder_identity = "b"
taken = leases.replace_namespaced_lease("box", "kube-system", created)
assert taken.spec.holder_identity == "b" and taken.metadata.uid == created.metadata.uid
assert taken.spec.renew_time.microsecond == now.microsecond, taken.spec.renew_time

slices = client.DiscoveryV1Api().list_endpoint_slice_for_all_namespaces()
assert [s.metadata.name for s in slices.items] == ["kubernetes"], slices
print("all well")
