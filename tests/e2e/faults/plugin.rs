//! Tests with a credentials plugin that hangs, when a tool begins and later.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mesh_testbed::{Bed, Victim};
use mesh_tests::{Signal, Toolbox, begin, on_both_beds, signal, toolbox, with_plugin, yes_at};
use serde_json::{Value, json};

use crate::control_plane::{is_at_target, judged, upgrade};
use crate::fleet::{DEFINITIONS, OLD, PEOPLE, people};
use crate::run::{Ran, run};

on_both_beds! {
    plugin_that_hangs_ends_every_tool_in_time_with_all_that_it_started
    signal_is_heard_while_the_plugin_hangs
    plugin_may_ask_on_the_terminal_and_never_gets_the_records
}

/// The numbers of runs of the plugin before it hangs. Its credentials have always expired.
const BEFORE: [usize; 4] = [0, 1, 3, 9];
const TOOLS: [&str; 3] = ["mesh-survey", "mesh-cp-upgrade", "mesh-roll"];

struct Scene {
    bed: Bed,
    tools: Toolbox,
    judged: String,
    ready: String,
    status: Value,
}

/// A plugin, and the file into which it writes the processes that hang.
struct Hanging {
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
}

fn plugin_that_hangs_ends_every_tool_in_time_with_all_that_it_started(bed: Bed) {
    let scene = Scene::new(bed);
    for tool in TOOLS {
        for before in BEFORE {
            let plugin = scene.hangs_after(before);
            let (mut command, input) = scene.command(tool, &plugin.kubeconfig);
            command.args(["--request-timeout", "1s"]);
            let ran = run(command, input, &Victim::default());
            let hung = plugin.hung();
            assert!(before > 1 || !hung.is_empty(), "{tool}: it never ran");
            // A survey or a roll may be over before.
            let codes: &[i32] = if hung.is_empty() { &[0] } else { &[2, 3] };
            let case = format!("{tool} after {before}");
            assert_eq!(
                ran.misconduct(codes, false),
                None,
                "{case}: {}",
                ran.summary()
            );
            assert!(hung.iter().all(|pid| ends(pid)), "{case}: {hung:?}");
            says_so(&ran, before);
        }
    }
    assert!(!is_at_target(&scene.bed));
}

fn says_so(ran: &Ran, before: usize) {
    if before == 0 {
        let said = "gave no credentials within 1s";
        assert!(ran.stderr.contains(said), "{}", ran.summary());
    }
}

fn signal_is_heard_while_the_plugin_hangs(bed: Bed) {
    let scene = Scene::new(bed);
    for tool in TOOLS {
        let plugin = scene.hangs_after(0);
        let (mut command, input) = scene.command(tool, &plugin.kubeconfig);
        command.args(["--request-timeout", "1h"]);
        let running = begin(command, input);
        while plugin.hung().len() < 2 {
            std::thread::yield_now();
        }
        signal(running.child.id(), Signal::TERM);
        let run = running.finish();
        assert_eq!(run.code, Some(3), "{tool}: {}", run.said());
        assert_eq!(run.end()["outcome"], "stopped");
        assert!(plugin.hung().iter().all(|pid| ends(pid)), "{tool}");
    }
}

fn plugin_may_ask_on_the_terminal_and_never_gets_the_records(bed: Bed) {
    let mut scene = Scene::new(bed);
    let status = scene.status.as_object_mut().unwrap();
    status.remove("expirationTimestamp");
    let folder = tempfile::tempdir().unwrap();
    let script = "printf 'the code? ' >&2; read code; [ \"$code\" = y ] && cat $CREDENTIALS";
    let kubeconfig = with_plugin(&scene.bed, folder.path(), script, &scene.status, "");
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let text = text.replace("\"Never\"", "\"IfAvailable\"");
    std::fs::write(&kubeconfig, text).unwrap();
    let ready = folder.path().join("ready");
    std::fs::write(&ready, &scene.ready).unwrap();
    let mut command = scene.tools.run("mesh-roll");
    command.env("KUBECONFIG", &kubeconfig).arg("--dry-run");
    let ready = ready.to_str().unwrap();
    let (code, records) = yes_at("the code? ", &scene.tools, &mut command, ready, || {});
    assert_eq!(code, Some(0), "{records:#?}");
}

impl Scene {
    fn new(bed: Bed) -> Self {
        bed.install_linkerd(OLD).unwrap();
        if bed.as_lab().is_some() {
            bed.apply_definitions(DEFINITIONS).unwrap();
        }
        people(&bed, &[PEOPLE]);
        let tools = toolbox!();
        if bed.as_lab().is_none() {
            tools.link("helm", bed.helm());
        }
        let judged = judged(&bed, &tools);
        let mut ready = tools.shell("mesh-survey | mesh-skewcheck --ask roll");
        ready.env("KUBECONFIG", bed.kubeconfig());
        let ready = run(ready, "", &Victim::default()).run.stdout;
        let token = match bed.as_lab() {
            Some(_) => "any".to_owned(),
            None => token(&bed),
        };
        let status = json!({ "token": token, "expirationTimestamp": "2001-01-01T00:00:00Z" });
        Self {
            bed,
            tools,
            judged,
            ready,
            status,
        }
    }

    fn command(&self, tool: &str, kubeconfig: &Path) -> (Command, &str) {
        let (mut command, input) = match tool {
            "mesh-cp-upgrade" => {
                let mut command = upgrade(&self.bed, &self.tools, kubeconfig);
                command.arg("--dry-run=server");
                (command, self.judged.as_str())
            }
            "mesh-roll" => (self.tools.run(tool), self.ready.as_str()),
            _ => (self.tools.run(tool), ""),
        };
        if tool == "mesh-roll" {
            command.arg("--yes");
        }
        command.env("KUBECONFIG", kubeconfig);
        (command, input)
    }

    fn hangs_after(&self, before: usize) -> Hanging {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "echo >>{0}/runs\n\
             [ $(wc -l <{0}/runs) -le {before} ] || {{ sleep 999 & echo $$ $! >>{0}/hung; wait; }}\n\
             cat $CREDENTIALS",
            folder.path().display()
        );
        let kubeconfig = with_plugin(&self.bed, folder.path(), &script, &self.status, "");
        Hanging { kubeconfig, folder }
    }
}

/// A token of an administrator.
fn token(bed: &Bed) -> String {
    let account = "--serviceaccount=linkerd:default";
    let role = "--clusterrole=cluster-admin";
    bed.kubectl(["create", "clusterrolebinding", "plugin", role, account])
        .unwrap();
    let token = bed.kubectl(["-n", "linkerd", "create", "token", "default"]);
    token.unwrap().trim().to_owned()
}

impl Hanging {
    /// The processes that hang, or did.
    fn hung(&self) -> Vec<String> {
        let hung = std::fs::read_to_string(self.folder.path().join("hung"));
        let hung = hung.unwrap_or_default();
        hung.split_whitespace().map(str::to_owned).collect()
    }
}

// A process that is killed ends a moment later, and nobody may have waited for it yet.
fn ends(pid: &str) -> bool {
    let ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z"))
    };
    let asked = Instant::now();
    while !ended() && asked.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    ended()
}
