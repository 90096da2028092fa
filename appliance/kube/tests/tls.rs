//! Real sockets: refusals with their reasons, an API server that is gone and back, rotation, failover.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails its test"
)]

mod common;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Folder, Heard, Watched, put};
use spillway_apiserver::ApiServer;
use spillway_apiserver::auth::{Denial, Identity};
use spillway_apiserver::pki::{Ca, Credentials, Pair, Validity, kubeconfig, self_signed};
use spillway_apiserver::tls::{self, Listening};
use spillway_cluster::{Access, Kind};
use spillway_kube::{Clockwork, Session, SessionSettings};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(20);

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A server that shows this certificate, and believes clients of that CA.
async fn listen(server: &ApiServer, pair: &Pair, clients: &Ca) -> Listening {
    let config = tls::config(pair, clients.pem()).unwrap();
    Listening::start(server, loopback(), config).await.unwrap()
}

fn write(folder: &Folder, text: &str) -> PathBuf {
    let path = folder.0.join("kubeconfig");
    std::fs::write(&path, text).unwrap();
    path
}

fn clockwork() -> Clockwork {
    Clockwork {
        rotation_every: Duration::from_millis(100),
        backoff_min: Duration::from_millis(50),
        // Watches end after a second, so that the next request shows which credentials are in use.
        idle_timeout: Duration::from_secs(2),
        ..Clockwork::default()
    }
}

fn start(server: &ApiServer, path: PathBuf, endpoints: &[String], clockwork: Clockwork) -> Watched {
    let access = Access::Kubeconfig { path, context: None, endpoints: endpoints.to_vec() };
    let settings = SessionSettings { clockwork, ..SessionSettings::new(access) };
    Watched::new(server, Session::start(settings).unwrap(), PATIENCE)
}

/// The error that an operator sees.
async fn refusal(path: PathBuf) -> String {
    let mut watched = start(&ApiServer::default(), path, &[], clockwork());
    watched.until(|heard| !heard.error(Kind::Service).is_empty()).await;
    assert!(!watched.heard.feeds[&Kind::Service].synced);
    watched.heard.error(Kind::Service).to_owned()
}

async fn refusal_of(name: &str, pair: &Pair, ca: &Ca) -> String {
    let folder = Folder::new(name);
    let listening = listen(&ApiServer::default(), pair, ca).await;
    let path = write(&folder, &kubeconfig(&listening.url(), ca.pem(), &Credentials::None));
    let error = refusal(path).await;
    let prefix = format!("api server {}: ", listening.url());
    error.strip_prefix(&prefix).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let (ca, other) = (Ca::new("ours").unwrap(), Ca::new("another").unwrap());
    let pair = other.server(&["127.0.0.1"], Validity::Good).unwrap();
    let error = refusal_of("wrong-ca", &pair, &ca).await;
    assert!(error.starts_with("certificate is not signed by the CA"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_its_names_are_told() {
    let ca = Ca::new("ours").unwrap();
    let pair = ca.server(&["kubernetes.example", "192.0.2.1"], Validity::Good).unwrap();
    let error = refusal_of("wrong-name", &pair, &ca).await;
    let wanted =
        "certificate is not valid for name 127.0.0.1, only for kubernetes.example, 192.0.2.1;";
    assert!(error.starts_with(wanted), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_and_one_of_the_future_are_refused() {
    let ca = Ca::new("ours").unwrap();
    let pair = ca.server(&["127.0.0.1"], Validity::Expired).unwrap();
    let error = refusal_of("expired", &pair, &ca).await;
    assert!(error.starts_with("certificate has expired") && error.contains(" days ago"), "{error}");
    let pair = ca.server(&["127.0.0.1"], Validity::NotYet).unwrap();
    let error = refusal_of("not-yet", &pair, &ca).await;
    assert!(error.starts_with("certificate is not valid yet"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    let ca = Ca::new("ours").unwrap();
    let pair = self_signed(&["127.0.0.1"]).unwrap();
    let error = refusal_of("self-signed", &pair, &ca).await;
    assert!(error.starts_with("certificate is self-signed"), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_only_tls_1_1_is_refused() {
    let folder = Folder::new("tls11");
    let ca = Ca::new("ours").unwrap();
    let pair = ca.server(&["127.0.0.1"], Validity::Good).unwrap();
    let (certificate, key) = pair.write(&folder.0, "server").unwrap();
    // openssl takes no port 0: one that was free a moment ago has to do.
    let port = std::net::TcpListener::bind(loopback()).unwrap().local_addr().unwrap().port();
    let mut openssl = tokio::process::Command::new("openssl")
        .args(["s_server", "-quiet", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"])
        .args(["-accept", &format!("127.0.0.1:{port}"), "-cert"])
        .arg(certificate)
        .arg("-key")
        .arg(key)
        // It ends with its input.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl, of Debian's package of that name");
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let url = format!("https://127.0.0.1:{port}");
    let path = write(&folder, &kubeconfig(&url, ca.pem(), &Credentials::None));
    let error = refusal(path).await;
    assert_eq!(error, format!("api server {url}: it does not speak TLS 1.2 or newer"));
    openssl.kill().await.unwrap();
}

#[tokio::test]
async fn plain_http_and_skipped_verification_are_refused_at_the_start() {
    let folder = Folder::new("insecure");
    let ca = Ca::new("ours").unwrap();
    let refused = |text: &str, endpoints: &[&str]| {
        let path = write(&folder, text);
        let endpoints = endpoints.iter().map(|it| (*it).to_owned()).collect();
        let access = Access::Kubeconfig { path: path.clone(), context: None, endpoints };
        let error = Session::start(SessionSettings::new(access)).map(drop).unwrap_err();
        let prefix = format!("kubeconfig {}, context test: ", path.display());
        error.to_string().strip_prefix(&prefix).unwrap_or_else(|| panic!("{error}")).to_owned()
    };
    let text = kubeconfig("http://127.0.0.1:8080", ca.pem(), &Credentials::None);
    assert!(refused(&text, &[]).starts_with("server `http://127.0.0.1:8080/` is refused"));
    let text = kubeconfig("https://127.0.0.1:6443", ca.pem(), &Credentials::None);
    assert!(refused(&text, &["http://a:1"]).starts_with("server `http://a:1` is refused"));
    let skips = text.replace("\"server\":", "\"insecure-skip-tls-verify\": true, \"server\":");
    assert!(refused(&skips, &[]).starts_with("insecure-skip-tls-verify is refused"));
    let proxied = text.replace("\"server\":", "\"proxy-url\": \"http://p:1\", \"server\":");
    assert!(refused(&proxied, &[]).starts_with("proxy-url is not supported"));
}

/// A server, its CA and a folder for a client's files.
struct Site {
    server: ApiServer,
    ca: Ca,
    listening: Listening,
    folder: Folder,
}

impl Site {
    async fn new(name: &str) -> Self {
        let server = ApiServer::default();
        let ca = Ca::new("ours").unwrap();
        let pair = ca.server(&["127.0.0.1"], Validity::Good).unwrap();
        let listening = listen(&server, &pair, &ca).await;
        Self { server, ca, listening, folder: Folder::new(name) }
    }

    fn kubeconfig(&self, credentials: &Credentials) -> PathBuf {
        write(&self.folder, &kubeconfig(&self.listening.url(), self.ca.pem(), credentials))
    }

    /// A session in step with the server.
    async fn synced(&self, credentials: &Credentials) -> Watched {
        let mut watched = start(&self.server, self.kubeconfig(credentials), &[], clockwork());
        watched.in_step().await;
        watched
    }
}

#[tokio::test]
async fn an_api_server_that_was_gone_is_in_step_again_within_five_seconds() {
    let site = Site::new("gone").await;
    site.server.authority().add_token("t", Identity::new("box"));
    let mut watched = site.synced(&Credentials::Token("t".into())).await;
    assert_eq!(watched.session.endpoint(), Some(site.listening.url()));
    put(&site.server, Kind::Service, "before", 1);
    watched.in_step().await;
    site.server.set_down(true);
    watched.until(|heard| !heard.error(Kind::Service).is_empty()).await;
    let heard = &watched.heard;
    assert!(heard.error(Kind::Service).contains("cannot connect"), "{heard:?}");
    assert!(heard.names(Kind::Service).contains(&"default/before".into()), "it goes on serving");
    sleep(Duration::from_secs(4)).await;
    put(&site.server, Kind::Service, "meanwhile", 1);
    let up = Instant::now();
    site.server.set_down(false);
    watched.in_step().await;
    assert!(up.elapsed() < Duration::from_secs(5), "{:?}", up.elapsed());
}

#[tokio::test]
async fn a_replaced_token_file_is_used_before_the_old_token_is_refused_and_after() {
    let site = Site::new("token").await;
    let file = site.folder.0.join("token");
    site.server.authority().add_token("old", Identity::new("box"));
    std::fs::write(&file, "old\n").unwrap();
    let mut watched = site.synced(&Credentials::TokenFile(file.clone())).await;
    site.server.authority().add_token("new", Identity::new("box"));
    std::fs::write(&file, "new\n").unwrap();
    sleep(Duration::from_millis(500)).await;
    site.server.authority().revoke_token("old");
    assert_quiet(&mut watched).await;
}

/// For three seconds, longer than any watch lasts here, nothing goes wrong, and news comes through.
async fn assert_quiet(watched: &mut Watched) {
    let is_wrong = |heard: &Heard| heard.feeds.values().any(|feed| feed.error.is_some());
    let Watched { heard, notices, .. } = watched;
    let quiet = heard.until(notices, Duration::from_secs(3), is_wrong).await;
    assert!(quiet.is_err(), "{heard:?}");
    put(&watched.server, Kind::Service, "after", 1);
    let took = watched.in_step().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_replaced_client_certificate_is_used_when_the_old_ones_ca_is_no_longer_believed() {
    let site = Site::new("certificate").await;
    let (old, new) = (Ca::new("old clients").unwrap(), Ca::new("new clients").unwrap());
    let server_pair = site.ca.server(&["127.0.0.1"], Validity::Good).unwrap();
    site.listening.set_config(tls::config(&server_pair, old.pem()).unwrap());
    let issue = |ca: &Ca| ca.client("box", &[], Validity::Good).unwrap();
    let (certificate, key) = issue(&old).write(&site.folder.0, "client").unwrap();
    let mut watched = site.synced(&Credentials::CertificateFiles { certificate, key }).await;
    // The old one is revoked together with the arrival of the new one: streams that are open go on.
    site.listening.set_config(tls::config(&server_pair, new.pem()).unwrap());
    issue(&new).write(&site.folder.0, "client").unwrap();
    assert_quiet(&mut watched).await;
}

#[tokio::test]
async fn credentials_that_do_not_work_do_not_replace_those_that_do() {
    let site = Site::new("bad").await;
    site.server.authority().add_token("good", Identity::new("box"));
    let mut watched = site.synced(&Credentials::Token("good".into())).await;
    let path = site.kubeconfig(&Credentials::Token("bad".into()));
    assert_quiet(&mut watched).await;
    std::fs::write(&path, "half a file: [").unwrap();
    assert_quiet(&mut watched).await;
}

#[tokio::test]
async fn an_exec_plugin_gives_the_token_and_is_asked_again_when_it_is_refused() {
    let site = Site::new("exec").await;
    let token = site.folder.0.join("token");
    std::fs::write(&token, "first").unwrap();
    let script = format!(
        r#"printf '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"%s"}}}}' "$(cat {})""#,
        token.display()
    );
    site.server.authority().add_token("first", Identity::new("box"));
    let arguments = vec!["-c".to_owned(), script];
    let path = site.kubeconfig(&Credentials::Exec { command: "sh".into(), arguments });
    let clockwork = Clockwork { backoff_max: Duration::from_millis(500), ..clockwork() };
    let mut watched = start(&site.server, path, &[], clockwork);
    watched.in_step().await;
    std::fs::write(&token, "second").unwrap();
    site.server.authority().add_token("second", Identity::new("box"));
    site.server.authority().revoke_token("first");
    sleep(Duration::from_secs(3)).await;
    put(&site.server, Kind::Service, "after", 1);
    watched.in_step().await;
}

#[tokio::test]
async fn another_endpoint_takes_over_and_is_kept() {
    let site = Site::new("failover").await;
    site.server.authority().add_token("t", Identity::new("box"));
    let pair = site.ca.server(&["127.0.0.1"], Validity::Good).unwrap();
    let wrong = site.ca.server(&["elsewhere"], Validity::Good).unwrap();
    // One that nobody listens on, one with the wrong name, and one that works.
    let closed = std::net::TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    let misnamed = listen(&site.server, &wrong, &site.ca).await;
    let working = listen(&site.server, &pair, &site.ca).await;
    let path = site.kubeconfig(&Credentials::Token("t".into()));
    let endpoints = [format!("https://{closed}"), misnamed.url(), working.url()];
    let mut watched = start(&site.server, path, &endpoints, clockwork());
    watched.in_step().await;
    assert_eq!(watched.session.endpoint(), Some(working.url()));
    sleep(Duration::from_secs(2)).await;
    put(&site.server, Kind::Node, "n", 1);
    watched.in_step().await;
    let session = &watched.session;
    assert_eq!(session.endpoint(), Some(working.url()));
    assert_eq!(session.server_version().map(|version| version.starts_with('v')), Some(true));
}

#[tokio::test]
async fn an_account_without_rights_is_told_what_it_lacks_and_serves_when_it_gets_it() {
    let site = Site::new("forbidden").await;
    site.server.authority().add_token("t", Identity::new("box"));
    site.server.authority().deny(Denial { resource: Some("nodes".into()), ..Denial::default() });
    let path = site.kubeconfig(&Credentials::Token("t".into()));
    let mut watched = start(&site.server, path, &[], clockwork());
    watched.until(|heard| heard.error(Kind::Node).contains("RBAC")).await;
    watched.until(|heard| heard.feeds[&Kind::Service].synced).await;
    site.server.authority().allow_all();
    watched.in_step().await;
}
