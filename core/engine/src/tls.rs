//! TLS: certificates that can be replaced while serving, and what every handshake of a port has in common.
//!
//! Never touches a certificate's meaning beyond what rustls checks. Read next: tls/session.rs for one connection's bytes,
//! tls/tickets.rs for resumption, `connection/transport.rs`.

mod session;
#[cfg(test)]
mod tests;
mod tickets;

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) use session::{Session, scratch_bytes};
pub(crate) use tickets::Tickets;

/// Tickets of a TLS 1.3 handshake: a client needs one to come back, and gets another one then.
const TICKETS: usize = 1;

/// The certificates of new handshakes.
pub(crate) struct Acceptor {
    config: RwLock<Arc<ServerConfig>>,
    tickets: Arc<Tickets>,
}

impl Acceptor {
    /// Errors are sentences that name the file.
    pub(crate) fn load(certificate: &Path, key: &Path, tickets: Arc<Tickets>) -> Result<Self, String> {
        let config = RwLock::new(config(certificate, key, &tickets)?);
        Ok(Self { config, tickets })
    }

    /// New handshakes use the new files, and tickets stay good; on an error the old ones stay.
    pub(crate) fn reload(&self, certificate: &Path, key: &Path) -> Result<(), String> {
        let fresh = config(certificate, key, &self.tickets)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(crate) fn session(&self) -> io::Result<Session> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        UnbufferedServerConnection::new(config).map(Session::new).map_err(io::Error::other)
    }
}

fn config(certificate: &Path, key: &Path, tickets: &Arc<Tickets>) -> Result<Arc<ServerConfig>, String> {
    let (chain_name, key_name) = (certificate.display(), key.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{chain_name}: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{chain_name}: no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key_name}: {error}"))?;
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(has_slow_hash);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| format!("{chain_name} and {key_name}: {error}"))?;
    config.ignore_client_order = true;
    config.ticketer = Arc::clone(tickets) as _;
    config.send_tls13_tickets = TICKETS;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// A handshake derives about twenty keys with the hash of its suite, and SHA-384 takes several times as long as SHA-256.
fn has_slow_hash(suite: &SupportedCipherSuite) -> bool {
    use CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS13_AES_256_GCM_SHA384,
    };
    matches!(
        suite.suite(),
        TLS13_AES_256_GCM_SHA384 | TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 | TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    )
}
