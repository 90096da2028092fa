//! Certificates of a throw-away authority, good ones and bad ones, and kubeconfigs that use them.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use serde_json::{Value, json};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("certificate for {what}: {source}")]
    Make { what: String, source: rcgen::Error },
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
}

fn make(what: &str) -> impl FnOnce(rcgen::Error) -> PkiError {
    let what = what.to_owned();
    move |source| PkiError::Make { what, source }
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> PkiError {
    let path = path.display().to_string();
    move |source| PkiError::File { path, source }
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(file(path))
}

impl Pair {
    /// Writes `name.crt` and `name.key`.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf), PkiError> {
        let (certificate, key) =
            (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        write_private(&certificate, &self.certificate)?;
        write_private(&key, &self.key)?;
        Ok((certificate, key))
    }
}

/// How long a certificate is good for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    Good,
    /// It ended in 2001.
    Expired,
    /// It begins in 2090.
    NotYet,
}

fn params(
    common_name: &str,
    names: &[&str],
    validity: Validity,
) -> Result<CertificateParams, PkiError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(make(common_name))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let (from, to) = match validity {
        Validity::Good => (2020, 2049),
        Validity::Expired => (2000, 2001),
        Validity::NotYet => (2090, 2099),
    };
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A certificate authority.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pair: Pair,
}

impl Ca {
    /// A new authority of that name.
    pub fn new(name: &str) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(make(name))?;
        let params = Self::params(name)?;
        let certificate = params.self_signed(&key).map_err(make(name))?;
        let pair = Pair { certificate: certificate.pem(), key: key.serialize_pem() };
        Ok(Self { issuer: Issuer::new(params, key), pair })
    }

    /// The authority `name` of that folder; it is made where there is none.
    pub fn open(folder: &Path, name: &str) -> Result<Self, PkiError> {
        std::fs::create_dir_all(folder).map_err(file(folder))?;
        let (certificate, key) = (folder.join("ca.crt"), folder.join("ca.key"));
        if !certificate.exists() || !key.exists() {
            let ca = Self::new(name)?;
            ca.pair.write(folder, "ca")?;
            return Ok(ca);
        }
        let pair = Pair {
            certificate: std::fs::read_to_string(&certificate).map_err(file(&certificate))?,
            key: std::fs::read_to_string(&key).map_err(file(&key))?,
        };
        let key = KeyPair::from_pem(&pair.key).map_err(make(name))?;
        Ok(Self { issuer: Issuer::new(Self::params(name)?, key), pair })
    }

    fn params(name: &str) -> Result<CertificateParams, PkiError> {
        let mut params = params(name, &[], Validity::Good)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        Ok(params)
    }

    /// The authority's own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pair.certificate
    }

    /// A server's certificate for those host names and addresses.
    pub fn server(&self, names: &[&str], validity: Validity) -> Result<Pair, PkiError> {
        let mut params = params("kube-apiserver", names, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params, "kube-apiserver")
    }

    /// A client's certificate: user and groups as Kubernetes reads them.
    pub fn client(
        &self,
        user: &str,
        groups: &[&str],
        validity: Validity,
    ) -> Result<Pair, PkiError> {
        let mut params = params(user, &[], validity)?;
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params, user)
    }

    fn sign(&self, params: &CertificateParams, what: &str) -> Result<Pair, PkiError> {
        let key = KeyPair::generate().map_err(make(what))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(make(what))?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// A server's certificate that nobody has signed but itself.
pub fn self_signed(names: &[&str]) -> Result<Pair, PkiError> {
    let what = "a self-signed server";
    let key = KeyPair::generate().map_err(make(what))?;
    let mut params = params("kube-apiserver", names, Validity::Good)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key).map_err(make(what))?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// How a kubeconfig's user proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    None,
    Certificate(Pair),
    CertificateFiles {
        certificate: PathBuf,
        key: PathBuf,
    },
    Token(String),
    TokenFile(PathBuf),
    /// A program that prints an `ExecCredential`.
    Exec {
        command: String,
        arguments: Vec<String>,
    },
}

/// A kubeconfig of one cluster and one user. It is JSON, and so YAML too.
pub fn kubeconfig(server: &str, ca_pem: &str, credentials: &Credentials) -> String {
    let data = |pem: &str| STANDARD.encode(pem);
    let user: Value = match credentials {
        Credentials::None => json!({}),
        Credentials::Certificate(pair) => json!({
            "client-certificate-data": data(&pair.certificate), "client-key-data": data(&pair.key)}),
        Credentials::CertificateFiles { certificate, key } => {
            json!({"client-certificate": certificate, "client-key": key})
        }
        Credentials::Token(token) => json!({"token": token}),
        Credentials::TokenFile(path) => json!({"tokenFile": path}),
        Credentials::Exec { command, arguments } => json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": command,
            "args": arguments, "interactiveMode": "Never"}}),
    };
    let cluster = json!({"server": server, "certificate-authority-data": data(ca_pem)});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test",
            "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        "current-context": "test",
    });
    format!("{config:#}\n")
}
