//! Makes new keys and certificates for each bed.

use std::{fs, net::IpAddr, path::Path};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

/// A certificate and its key, both in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A certificate authority of one bed.
#[derive(Debug)]
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The mesh's identity: a trust anchor and an issuer that it signed.
#[derive(Clone, Debug)]
pub struct MeshIdentity {
    pub anchors: String,
    pub issuer: Pair,
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = authority_params(name);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Makes the pair of an administrator called `name`, which can also serve at `addresses`.
    pub(crate) fn admin(&self, name: &str, addresses: &[IpAddr]) -> anyhow::Result<Pair> {
        let names = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> anyhow::Result<Pair> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

// === impl MeshIdentity ===

impl MeshIdentity {
    /// Makes a new anchor and issuer, both ECDSA P-256.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(authority_params("identity.linkerd.cluster.local"))
    }

    /// Makes one whose issuer expired when 2021 began.
    pub fn expired() -> anyhow::Result<Self> {
        let mut params = authority_params("identity.linkerd.cluster.local");
        params.not_after = date_time_ymd(2021, 1, 1);
        Self::with(params)
    }

    fn with(mut params: CertificateParams) -> anyhow::Result<Self> {
        let anchor = Authority::new("root.linkerd.cluster.local")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let issuer = anchor.sign(&params)?;
        Ok(Self {
            anchors: anchor.certificate,
            issuer,
        })
    }
}

// === impl Pair ===

impl Pair {
    /// Makes a self-signed certificate for one name.
    pub(crate) fn self_signed(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            key: key.serialize_pem(),
        })
    }

    pub(crate) fn write(&self, dir: &Path, name: &str) -> anyhow::Result<()> {
        fs::write(dir.join(format!("{name}.crt")), &self.certificate)
            .with_context(|| format!("writing {name}.crt"))?;
        fs::write(dir.join(format!("{name}.key")), &self.key)
            .with_context(|| format!("writing {name}.key"))
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}
