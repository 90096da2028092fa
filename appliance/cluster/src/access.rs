//! How the API server is reached, as the operator says it.

use std::path::PathBuf;

/// Where the cluster is and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The service account that Kubernetes mounts into a pod.
    InCluster,
    /// A kubeconfig file: client certificate, token, token file or exec plugin.
    Kubeconfig {
        path: PathBuf,
        /// Its current context when `None`.
        context: Option<String>,
        /// API servers to try in turn, `https://address:port`; empty: the one that the kubeconfig names.
        /// All of them are one cluster and are verified by the same CA.
        endpoints: Vec<String>,
    },
}
