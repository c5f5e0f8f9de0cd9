//! Says what is wrong with the certificates that the mesh will stand on.

use std::sync::Arc;

use mesh_actor::Outcome;
use mesh_cluster::control_plane::issuer::{CertificateSecret, SECRETS};
use mesh_cluster::object::ConfigMap;
use mesh_cluster::{Cluster, Error, Target, label};
use mesh_records::Explained;

use crate::args::Args;
use crate::issuer_key::{self, Chain, bundle};
use crate::live::Live;
use crate::overrides::Overrides;
use crate::present::found;
use crate::render::Rendered;
use crate::session::Session;

/// No values can be passed to a rollback.
const OTHER_REVISION: &str = "go back to a version whose revision has a valid certificate (--to), or \
                              upgrade with a new certificate";
/// What is not rendered no value changes.
const KEPT_ELSEWHERE: &str = "see to it where it is kept, such as in cert-manager, then run the \
                              pipeline again";

/// Looks at the issuer and at the trust anchors of the control plane as it is rendered; in the cluster at
/// those that somebody else keeps, and at all of them where nothing is rendered yet.
pub(crate) async fn certificates(
    session: &mut Session<'_>,
    args: &Args,
    live: &Live,
    rendered: Option<&Rendered>,
) -> Outcome<()> {
    let mut chain = rendered.map(issuer_key::rendered).unwrap_or_default();
    let is_rendered = match rendered {
        Some(_) => chain.issuer.is_some() && chain.anchors.is_some(),
        None => live.renders_certificates(),
    };
    let (of_key, of_dates, of_chain) = match (args.rollback || session.goes_back, is_rendered) {
        (true, _) => (OTHER_REVISION, OTHER_REVISION, OTHER_REVISION),
        (false, is_rendered) => (
            "pass the key of that certificate: identity.issuer.tls.keyPEM beside crtPEM",
            match is_rendered {
                true => "issue a new one and pass it in the values (identity.issuer.tls)",
                false => KEPT_ELSEWHERE,
            },
            match is_rendered {
                true => "pass the anchor that signed it too: identityTrustAnchorsPEM",
                false => KEPT_ELSEWHERE,
            },
        ),
    };
    let of_missing = match rendered {
        Some(_) => KEPT_ELSEWHERE,
        None => of_dates,
    };
    if let Some(Err(error)) = rendered.map(issuer_key::check) {
        session.foresee(Explained::new(error.to_string(), of_key))?;
    }
    let cluster = Arc::clone(&session.cluster);
    let read = session.unless_stopped(rest(&cluster, live.namespace(), &mut chain));
    match read.await? {
        Ok(()) => {
            for what in chain.missing() {
                session.foresee(Explained::new(what, of_missing))?;
            }
        }
        // What goes back after a failure is not held up by what it cannot look at.
        Err(error) if error.rule().is_some() || session.goes_back => {
            session.run.blind("certificates");
        }
        Err(error) => return Err(error.into()),
    }
    for what in chain.invalid(session.now()) {
        session.foresee(Explained::new(what, of_dates))?;
    }
    if chain.is_broken() {
        let what = "no trust anchor signed the issuer's certificate: no proxy would accept the \
                    certificates that it signs";
        session.foresee(Explained::new(what, of_chain))?;
    }
    Ok(())
}

/// Looks at the certificates in the cluster before the control plane can be rendered. Values may bring others,
/// which only the render shows.
pub(crate) async fn standing(session: &mut Session<'_>, args: &Args, live: &Live) -> Outcome<()> {
    match session.inputs.overrides == Overrides::default() {
        true => certificates(session, args, live, None).await,
        false => Ok(()),
    }
}

// Reads what is not rendered. Of a Secret nothing but the certificate is read.
async fn rest(cluster: &Cluster, namespace: &str, chain: &mut Chain) -> Result<(), Error> {
    let issuer = async {
        let target = Target::one(SECRETS, Some(namespace), label::ISSUER);
        found(cluster.get_as::<CertificateSecret>(&target)).await
    };
    let anchors = async {
        let roots = cluster.get::<ConfigMap>(Some(namespace), label::TRUST_ROOTS);
        found(roots).await
    };
    match (&chain.issuer, &chain.anchors) {
        (Some(_), Some(_)) => {}
        (Some(_), None) => chain.anchors = anchors.await?.as_ref().and_then(bundle),
        (None, Some(_)) => chain.issuer = issuer.await?.as_ref().and_then(pem),
        (None, None) => {
            let (issuer, anchors) = futures::future::try_join(issuer, anchors).await?;
            chain.issuer = issuer.as_ref().and_then(pem);
            chain.anchors = anchors.as_ref().and_then(bundle);
        }
    }
    Ok(())
}

fn pem(secret: &CertificateSecret) -> Option<Vec<u8>> {
    secret.certificate().map(<[u8]>::to_vec)
}
