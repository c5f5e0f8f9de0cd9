//! Says what is wrong with the certificates that were rendered.

use mesh_actor::Outcome;
use mesh_records::Explained;

use crate::args::Args;
use crate::issuer_key;
use crate::plan::Plan;
use crate::session::Session;

/// No values can be passed to a rollback.
const OTHER_REVISION: &str = "go back to a version whose revision has a valid certificate (--to), or \
                              upgrade with a new certificate";

/// Looks at the issuer and at the trust anchors of the plan.
pub(crate) fn certificates(session: &mut Session<'_>, args: &Args, plan: &Plan) -> Outcome<()> {
    let rendered = &plan.control_plane.rendered;
    let (of_key, of_dates) = match args.rollback || session.goes_back {
        true => (OTHER_REVISION, OTHER_REVISION),
        false => (
            "pass the key of that certificate: identity.issuer.tls.keyPEM beside crtPEM",
            "issue a new one and pass it in the values (identity.issuer.tls)",
        ),
    };
    if let Err(error) = issuer_key::check(rendered) {
        session.foresee(Explained::new(error.to_string(), of_key))?;
    }
    for what in issuer_key::invalid(rendered, session.now()) {
        session.foresee(Explained::new(what, of_dates))?;
    }
    Ok(())
}
