//! The kubeconfig is read once, and every program that the run starts gets a private copy.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use mesh_testbed::Bed;
use mesh_tests::{on_both_beds, write_program, yes_at_the_question};

use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    kubeconfig_that_is_switched_while_the_question_waits_leads_to_no_other_cluster
}

impl Stage {
    /// Writes a program that logs its arguments, and who may read the kubeconfig that it got, and
    /// then is helm or the CLI. Returns its flag and its path.
    pub(crate) fn logging(&self, log: &Path) -> (&'static str, String) {
        let (flag, program) = match self.is_by_helm() {
            true => ("--helm", self.bed.helm().to_owned()),
            false => ("--linkerd", self.tools.linkerd(&self.bed, TO)),
        };
        let wrapper = self.tools.folder().join("logging");
        let script = format!(
            "#!/bin/sh\n\
             echo \"$(stat -c %a $KUBECONFIG $(dirname $KUBECONFIG) | tr '\\n' ' ')$KUBECONFIG $*\" >>{log}\n\
             exec {program} \"$@\"\n",
            log = log.display(),
            program = program.display(),
        );
        write_program(&wrapper, &script);
        (flag, wrapper.display().to_string())
    }
}

fn kubeconfig_that_is_switched_while_the_question_waits_leads_to_no_other_cluster(bed: Bed) {
    let stage = Stage::new(bed);
    let other = stage.bed.another().unwrap();
    other.install_linkerd(FROM).unwrap();
    let config = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
    let version = |bed: &Bed| bed.get(config).unwrap()["metadata"]["resourceVersion"].clone();
    let before = version(&other);
    let judged = stage.file("judged", &stage.judged());
    let [link, log] = ["link", "log"].map(|it| stage.tools.folder().join(it));
    symlink(stage.bed.kubeconfig(), &link).unwrap();
    let (flag, wrapper) = stage.logging(&log);
    let mut command = stage.tool();
    command.args(stage.source()).args([flag, &wrapper]);
    let link = link.to_str().unwrap();
    command.args(["--kubeconfig", link]);
    let (code, records) = yes_at_the_question(&stage.tools, &mut command, &judged, || {
        fs::remove_file(link).unwrap();
        symlink(other.kubeconfig(), link).unwrap();
    });
    assert_eq!(code, Some(0), "{:#?}", records.last());
    assert_eq!(stage.configured(), TO);
    assert_eq!(version(&other), before);
    for line in fs::read_to_string(&log).unwrap().lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let [file, folder, private, args] = words[..] else {
            panic!("{line}");
        };
        assert_eq!((file, folder), ("600", "700"), "{line}");
        let is_version = args.starts_with("version ");
        assert!(
            is_version || args.ends_with(&format!("--kubeconfig {private}")),
            "{line}"
        );
        assert!(!args.contains(link) && !args.contains("context"), "{line}");
        assert!(!Path::new(private).exists(), "{private} is left");
    }
    let shown = records.iter().find(|it| it["command"].is_array()).unwrap();
    assert!(shown["command"].to_string().contains(link), "{shown}");
}
