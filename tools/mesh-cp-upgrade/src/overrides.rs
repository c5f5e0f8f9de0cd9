//! The values that a run was given, and how a command spells them.

use mesh_records::{Explained, sayable};

use crate::snapshot::Copied;

/// The values that a run was given for the control plane, in the order in which helm and the linkerd
/// CLI count them: files, then `--set`, then `--set-file`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) files: Vec<Copied>,
    /// `KEY=VALUE`, as helm takes it.
    pub(crate) sets: Vec<String>,
    /// A key, and the file with its value.
    pub(crate) set_files: Vec<(String, Copied)>,
}

/// For whom a command is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// For the program, with the run's own copies.
    Run,
    /// For people, with the names that they gave.
    Shown,
    /// For the digest, which stays the same when a name or a place changes that decides nothing.
    Digest,
}

// === impl Overrides ===

impl Overrides {
    /// Returns the flags of the values.
    pub(crate) fn flags(&self, spelling: Spelling) -> Vec<String> {
        let file = |copied: &Copied| match spelling {
            Spelling::Run => copied.path.display().to_string(),
            Spelling::Shown => copied.name.clone(),
            Spelling::Digest => "VALUES".to_owned(),
        };
        let files = self.files.iter().map(|it| ("-f", file(it)));
        let sets = self.sets.iter().map(|it| ("--set", it.clone()));
        let set_files = self.set_files.iter();
        let set_files = set_files.map(|(key, it)| ("--set-file", format!("{key}={}", file(it))));
        let all = files.chain(sets).chain(set_files);
        all.flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    /// Returns the copies that decide what is written.
    pub(crate) fn copies(&self) -> impl Iterator<Item = &Copied> {
        self.files
            .iter()
            .chain(self.set_files.iter().map(|(_, copied)| copied))
    }

    /// Names the values, for a message.
    pub(crate) fn named(&self) -> String {
        let flags = self.flags(Spelling::Shown);
        let flags: Vec<String> = flags.chunks(2).map(|flag| flag.join(" ")).collect();
        match flags.is_empty() {
            true => "the chart's default values (no -f was passed)".to_owned(),
            false => format!("`{}`", flags.join(" ")),
        }
    }
}

/// Checks a `--set`. Every user of the machine can read the arguments of a program.
pub(crate) fn check_set(set: &str) -> Result<(), Explained> {
    let Some((key, _)) = set.split_once('=') else {
        return Err(Explained::new(
            format!("--set {} has no value", sayable(set)),
            "write it as --set KEY=VALUE",
        ));
    };
    // One flag may hold several values, separated by commas.
    let mut values = set.split(',').filter_map(|one| one.split_once('='));
    let is_secret = values
        .any(|(name, value)| !matches!(value, "true" | "false") && !crate::sayable::by_name(name));
    if is_secret || set.contains("PRIVATE KEY") || sayable(set) != set {
        return Err(Explained::new(
            format!(
                "--set would show the value of {} to every user of this machine, and in the records",
                sayable(key)
            ),
            "put it into a file: --set-file KEY=FILE, or -f FILE",
        ));
    }
    Ok(())
}

/// Splits the `KEY=FILE` of a `--set-file`.
pub(crate) fn set_file(text: &str) -> Result<(&str, &str), Explained> {
    match text.split_once('=') {
        Some((key, file)) if !key.is_empty() && !file.is_empty() && !key.contains(',') => {
            Ok((key, file))
        }
        Some(_) | None => Err(Explained::new(
            format!("--set-file {} names no key and file", sayable(text)),
            "write it as --set-file KEY=FILE, once for each file",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_the_copies_for_the_program_and_the_users_files_for_people() {
        let copied = |name: &str| Copied {
            name: name.to_owned(),
            path: format!("/private/{name}").into(),
        };
        let all = Overrides {
            files: vec![copied("a.yaml")],
            sets: vec!["proxy.logLevel=info".to_owned()],
            set_files: vec![("identityTrustAnchorsPEM".to_owned(), copied("ca.crt"))],
        };
        let table = [
            (Spelling::Run, "/private/a.yaml", "/private/ca.crt"),
            (Spelling::Shown, "a.yaml", "ca.crt"),
            (Spelling::Digest, "VALUES", "VALUES"),
        ];
        for (spelling, file, anchors) in table {
            let expected = format!(
                "-f {file} --set proxy.logLevel=info --set-file identityTrustAnchorsPEM={anchors}"
            );
            assert_eq!(all.flags(spelling).join(" "), expected);
        }
        assert_eq!(all.copies().count(), 2);
        assert!(Overrides::default().named().contains("no -f was passed"));
    }

    #[test]
    fn a_set_that_shows_a_secret_is_refused_without_showing_it() {
        for (set, is_fine) in [
            ("proxy.logLevel=warn,linkerd=info", true),
            ("controllerReplicas=3", true),
            ("enableEndpointSlices", false),
            ("proxyInjector.externalSecret=true", true),
            ("imagePullSecrets[0].name=registry", true),
            ("identity.serviceAccountTokenProjection=false", true),
            ("identity.issuer.tls.keyPEM=HUSH", false),
            ("a=1,registry.password=HUSH", false),
            ("a=-----BEGIN EC PRIVATE KEY-----HUSH", false),
            ("proxy.image.name=https://me:HUSH@host/proxy", false),
        ] {
            let checked = check_set(set);
            assert_eq!(checked.is_ok(), is_fine, "{set}");
            let said = checked.err().map(|error| error.to_string());
            assert!(!said.unwrap_or_default().contains("HUSH"), "{set}");
        }
    }

    #[test]
    fn a_set_file_has_one_key_and_one_file() {
        assert_eq!(set_file("a.b=c=d").unwrap(), ("a.b", "c=d"));
        for wrong in ["a", "a=", "=b", "a,b=c", ""] {
            assert!(set_file(wrong).is_err(), "{wrong}");
        }
    }
}
