//! From [`Access`] to what a client is built of, checked; and the files that it depends on.

use std::path::{Path, PathBuf};

use http::Uri;
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use spillway_cluster::Access;

/// Why an access cannot be used. Each says where the mistake is and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("kubeconfig {}: {source}", path.display())]
    Kubeconfig { path: PathBuf, source: Box<KubeconfigError> },
    #[error(
        "kubeconfig {}: no current-context is set; set one, or name a context in the configuration",
        path.display()
    )]
    NoContext { path: PathBuf },
    #[error("{origin}: {problem}")]
    Refused { origin: String, problem: Problem },
    #[error(
        "not in a cluster: {0}; name a kubeconfig in the configuration, or run in a pod with a service account"
    )]
    NotInCluster(String),
    #[error("{origin}: {what}: {cause}")]
    Credentials { origin: String, what: &'static str, cause: String },
}

impl AccessError {
    /// Whether waiting may help: a file that is being replaced, an exec plugin that needs the network.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Credentials { .. } => true,
            Self::Kubeconfig { .. }
            | Self::NoContext { .. }
            | Self::Refused { .. }
            | Self::NotInCluster(_) => false,
        }
    }
}

/// What is refused whatever the reason for it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("insecure-skip-tls-verify is refused; give certificate-authority instead")]
    SkipsVerification,
    #[error("server `{0}` is refused; it must be https://host:port")]
    NotHttps(String),
    #[error("proxy-url is not supported; reach the API server directly")]
    Proxy,
}

/// Where a pod finds its service account; an argument, so that tests need no pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<String>,
    pub(crate) account: PathBuf,
}

impl Pod {
    pub(crate) fn from_environment() -> Self {
        Self {
            host: std::env::var("KUBERNETES_SERVICE_HOST").ok(),
            port: std::env::var("KUBERNETES_SERVICE_PORT").ok(),
            account: PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
        }
    }
}

/// What a client is built of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    /// In the order of preference; never empty.
    pub(crate) endpoints: Vec<Uri>,
    /// For messages: the file and the context.
    pub(crate) origin: String,
}

/// The files that an access depends on, even when they cannot be read at the moment.
pub(crate) fn files(access: &Access, pod: &Pod) -> Vec<PathBuf> {
    match access {
        Access::InCluster => vec![pod.account.join("token"), pod.account.join("ca.crt")],
        Access::Kubeconfig { path, context, endpoints: _ } => {
            let mut files = vec![path.clone()];
            if let Ok((kubeconfig, name)) = read(path, context.as_deref()) {
                files.extend(referenced(&kubeconfig, &name));
            }
            files
        }
    }
}

/// Reads and checks an access.
pub(crate) fn plan(access: &Access, pod: &Pod) -> Result<Plan, AccessError> {
    let (mut kubeconfig, context, origin, endpoints) = match access {
        Access::InCluster => {
            (in_cluster(pod)?, IN_CLUSTER.to_owned(), "service account of this pod".into(), &[][..])
        }
        Access::Kubeconfig { path, context, endpoints } => {
            let (kubeconfig, context) = read(path, context.as_deref())?;
            let origin = format!("kubeconfig {}, context {context}", path.display());
            (kubeconfig, context, origin, endpoints.as_slice())
        }
    };
    let refused = |problem| AccessError::Refused { origin: origin.clone(), problem };
    if cluster_of(&kubeconfig, &context).is_some_and(|cluster| cluster.proxy_url.is_some()) {
        return Err(refused(Problem::Proxy));
    }
    read_token(&mut kubeconfig, &context, &origin)?;
    kubeconfig.current_context = Some(context);
    let mut config = Config::try_from(kubeconfig).map_err(|source| match (source, access) {
        (source, Access::Kubeconfig { path, .. }) if !is_passing(&source) => {
            AccessError::Kubeconfig { path: path.clone(), source: Box::new(source) }
        }
        (source, Access::Kubeconfig { .. } | Access::InCluster) => AccessError::Credentials {
            origin: origin.clone(),
            what: "cannot load the credentials",
            cause: source.to_string(),
        },
    })?;
    if config.accept_invalid_certs {
        return Err(refused(Problem::SkipsVerification));
    }
    // An HTTPS_PROXY that is set for other programs is not meant for a box beside the API server.
    config.proxy_url = None;
    let named = endpoints.iter().map(|endpoint| https(endpoint)).collect::<Result<Vec<_>, _>>();
    let mut endpoints = named.map_err(refused)?;
    if endpoints.is_empty() {
        endpoints.push(https(&config.cluster_url.to_string()).map_err(refused)?);
    }
    Ok(Plan { config, endpoints, origin })
}

/// A file that is not there now may be there in a moment; a kubeconfig that makes no sense will not.
fn is_passing(error: &KubeconfigError) -> bool {
    matches!(
        error,
        KubeconfigError::LoadCertificateAuthority(_)
            | KubeconfigError::LoadClientCertificate(_)
            | KubeconfigError::LoadClientKey(_)
            | KubeconfigError::ParseCertificates(_)
    )
}

fn read(path: &Path, context: Option<&str>) -> Result<(Kubeconfig, String), AccessError> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|source| AccessError::Kubeconfig {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let context = context.map(str::to_owned).or_else(|| kubeconfig.current_context.clone());
    let context = context.filter(|context| !context.is_empty());
    let context = context.ok_or_else(|| AccessError::NoContext { path: path.to_owned() })?;
    Ok((kubeconfig, context))
}

fn context_of<'a>(kubeconfig: &'a Kubeconfig, name: &str) -> Option<&'a Context> {
    kubeconfig.contexts.iter().find(|named| named.name == name)?.context.as_ref()
}

fn cluster_of<'a>(kubeconfig: &'a Kubeconfig, context: &str) -> Option<&'a Cluster> {
    let name = &context_of(kubeconfig, context)?.cluster;
    kubeconfig.clusters.iter().find(|named| &named.name == name)?.cluster.as_ref()
}

fn user_of<'a>(kubeconfig: &'a mut Kubeconfig, context: &str) -> Option<&'a mut AuthInfo> {
    let name = context_of(kubeconfig, context)?.user.clone()?;
    kubeconfig.auth_infos.iter_mut().find(|named| named.name == name)?.auth_info.as_mut()
}

fn referenced(kubeconfig: &Kubeconfig, context: &str) -> Vec<PathBuf> {
    let ca = cluster_of(kubeconfig, context).and_then(|it| it.certificate_authority.clone());
    let mut kubeconfig = kubeconfig.clone();
    let user = user_of(&mut kubeconfig, context);
    let of_user = user
        .map(|it| [it.client_certificate.clone(), it.client_key.clone(), it.token_file.clone()]);
    ca.into_iter().chain(of_user.into_iter().flatten().flatten()).map(PathBuf::from).collect()
}

/// Reads the token file here: kube keeps a token for a minute, and refuses one that ends with a newline.
fn read_token(kubeconfig: &mut Kubeconfig, context: &str, origin: &str) -> Result<(), AccessError> {
    let Some(user) = user_of(kubeconfig, context) else { return Ok(()) };
    let Some(file) = user.token_file.take() else { return Ok(()) };
    let failed = |cause: String| AccessError::Credentials {
        origin: origin.to_owned(),
        what: "cannot read the token",
        cause: format!("{file}: {cause}"),
    };
    let token = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
    let token = token.trim();
    if token.is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    user.token = Some(token.to_owned().into());
    Ok(())
}

const IN_CLUSTER: &str = "in-cluster";

/// A pod's service account, said as a kubeconfig.
fn in_cluster(pod: &Pod) -> Result<Kubeconfig, AccessError> {
    let missing = |what: &str| AccessError::NotInCluster(format!("{what} is not set"));
    let host = pod.host.as_deref().ok_or_else(|| missing("KUBERNETES_SERVICE_HOST"))?;
    let port = pod.port.as_deref().ok_or_else(|| missing("KUBERNETES_SERVICE_PORT"))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let file = |name: &str| Some(pod.account.join(name).display().to_string());
    let name = IN_CLUSTER.to_owned();
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: file("ca.crt"),
        ..Cluster::default()
    };
    let user = AuthInfo { token_file: file("token"), ..AuthInfo::default() };
    let context = Context { cluster: name.clone(), user: Some(name.clone()), ..Context::default() };
    Ok(Kubeconfig {
        clusters: vec![NamedCluster {
            name: name.clone(),
            cluster: Some(cluster),
            ..<_>::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name.clone(),
            auth_info: Some(user),
            ..<_>::default()
        }],
        contexts: vec![NamedContext { name, context: Some(context), ..<_>::default() }],
        ..Kubeconfig::default()
    })
}

fn https(endpoint: &str) -> Result<Uri, Problem> {
    let refused = || Problem::NotHttps(endpoint.to_owned());
    let uri: Uri = endpoint.parse().map_err(|_| refused())?;
    let is_https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    if is_https && uri.host().is_some_and(|host| !host.is_empty()) {
        Ok(uri)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("sw-access-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }

        fn pod(&self, host: &str) -> Pod {
            Pod { host: Some(host.into()), port: Some("6443".into()), account: self.0.clone() }
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn ca() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_pod_uses_its_service_account_and_the_address_of_its_environment() {
        let dir = Dir::new("pod");
        dir.put("token", "secret\n");
        dir.put("ca.crt", &ca());
        let built = plan(&Access::InCluster, &dir.pod("10.96.0.1")).unwrap();
        assert_eq!(built.endpoints, ["https://10.96.0.1:6443/"]);
        assert!(built.config.root_cert.is_some() && built.config.auth_info.token.is_some());
        let built = plan(&Access::InCluster, &dir.pod("fd00::1")).unwrap();
        assert_eq!(built.endpoints, ["https://[fd00::1]:6443/"]);
        assert_eq!(files(&Access::InCluster, &dir.pod("a")).len(), 2);
    }

    #[test]
    fn a_pod_whose_token_is_missing_may_wait_but_a_box_that_is_no_pod_may_not() {
        let dir = Dir::new("no-token");
        dir.put("ca.crt", &ca());
        assert!(plan(&Access::InCluster, &dir.pod("10.96.0.1")).unwrap_err().is_passing());
        let nowhere = Pod { host: None, ..dir.pod("") };
        let error = plan(&Access::InCluster, &nowhere).unwrap_err();
        assert!(!error.is_passing() && error.to_string().starts_with("not in a cluster"));
    }

    fn kubeconfig(dir: &Dir, current: &str) -> PathBuf {
        dir.put("ca.crt", &ca());
        dir.put("token", "secret");
        dir.put(
            "config",
            &format!(
                "{current}
clusters: [{{name: c, cluster: {{server: 'https://a:1', certificate-authority: ca.crt}}}}]
users: [{{name: u, user: {{tokenFile: token}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
"
            ),
        )
    }

    fn access(path: PathBuf, context: Option<&str>, endpoints: &[&str]) -> Access {
        let endpoints = endpoints.iter().map(|it| (*it).to_owned()).collect();
        Access::Kubeconfig { path, context: context.map(str::to_owned), endpoints }
    }

    #[test]
    fn a_kubeconfig_brings_its_files_which_lie_beside_it() {
        let dir = Dir::new("files");
        let path = kubeconfig(&dir, "current-context: x");
        let access = access(path.clone(), None, &["https://b:2", "https://c:3"]);
        let built = plan(&access, &dir.pod("")).unwrap();
        assert_eq!(built.endpoints, ["https://b:2/", "https://c:3/"]);
        assert_eq!(files(&access, &dir.pod("")), [path, dir.0.join("ca.crt"), dir.0.join("token")]);
    }

    #[test]
    fn a_context_is_asked_for_when_none_is_set_and_named_when_it_is_unknown() {
        let dir = Dir::new("context");
        let path = kubeconfig(&dir, "");
        let error = plan(&access(path.clone(), None, &[]), &dir.pod("")).unwrap_err();
        assert!(matches!(error, AccessError::NoContext { .. }), "{error}");
        assert!(plan(&access(path.clone(), Some("x"), &[]), &dir.pod("")).is_ok());
        let error = plan(&access(path, Some("y"), &[]), &dir.pod("")).unwrap_err();
        assert!(error.to_string().contains("config: ") && error.to_string().ends_with(": y"));
    }
}
