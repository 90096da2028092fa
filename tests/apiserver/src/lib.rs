//! A Kubernetes API server for tests, because no Kubernetes binary can be had where they run.
//!
//! The core is pure: [`store`] holds objects and their history, [`api`] carries out one request,
//! [`watch`] is a cursor over history, [`faults`] says what goes wrong. Around it [`http`] is a tower
//! service that `kube::Client` can use without a socket, and [`tls`] puts it on one. Its shapes are
//! those that a kube-apiserver v1.36 was recorded with; README.md says what is left out.
//!
//! Never used by anything that is shipped.

pub mod admin;
pub mod api;
pub mod auth;
pub mod discovery;
pub mod event;
pub mod faults;
pub mod form;
pub mod history;
pub mod http;
mod json;
pub mod object;
pub mod patch;
pub mod pki;
pub mod replay;
pub mod request;
pub mod resource;
pub mod selector;
mod server;
pub mod service;
pub mod status;
pub mod store;
mod stream;
pub mod table;
pub mod time;
pub mod tls;
pub mod watch;

pub use server::{ApiServer, Options};
