//! Tests `docs/example/gate-prometheus` against a real Prometheus.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mesh_tests::{Toolbox, toolbox};
use serde_json::json;

use crate::{Said, root};

/// A Prometheus that ends with the test.
struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Prometheus {
    /// Starts one that has these metrics, in the form of OpenMetrics, and is ready to answer.
    fn with(tools: &Toolbox, metrics: &str) -> Self {
        let file = |name: &str| tools.folder().join(name);
        fs::write(file("metrics"), metrics).unwrap();
        fs::write(file("prometheus.yml"), "").unwrap();
        let mut blocks = Command::new("/usr/bin/promtool");
        blocks.args(["tsdb", "create-blocks-from", "openmetrics"]);
        Said::of(blocks.arg(file("metrics")).arg(file("data"))).exits(0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let flag = |flag: &str, path| format!("--{flag}={}", file(path).display());
        let mut child = Command::new("/usr/bin/prometheus")
            .arg(flag("config.file", "prometheus.yml"))
            .arg(flag("storage.tsdb.path", "data"))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut lines = BufReader::new(stderr).lines();
        let is_ready = lines.any(|line| line.unwrap().contains("ready to receive web requests"));
        // It must not wait for somebody who reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        assert!(is_ready, "Prometheus does not start");
        let url = format!("http://{address}");
        Self { child, url }
    }
}

/// Asks the gate about these workloads; each with the outcome of its roll.
fn gate(tools: &Toolbox, url: &str, rolled: &[(&str, &str)]) -> Said {
    let records = rolled.iter().map(|(name, outcome)| {
        let reference = format!("shop/Deployment/{name}");
        let record = json!({ "type": "rolled", "ref": reference, "kind": "Deployment",
            "namespace": "shop", "name": name, "outcome": outcome });
        format!("{record}\n")
    });
    let records: String = records.collect();
    let mut command = tools.command(root("docs/example/gate-prometheus"));
    let mut child = command
        .args([url, "--success", "0.99", "--p95", "200"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(records.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

// Each workload: how many of a hundred answers are good, and how many come within 100 ms.
fn metrics(workloads: &[(&str, u32, u32)]) -> String {
    let now = Said::of(Command::new("date").arg("+%s")).exits(0).stdout;
    let now: u64 = now.trim().parse().unwrap();
    let (mut answers, mut latencies) = (Vec::new(), Vec::new());
    for (name, good, fast) in workloads {
        let of = format!(r#"direction="inbound",namespace="shop",deployment="{name}""#);
        for (minute, times) in [(4, 1), (3, 2), (2, 3), (1, 4)] {
            let at = now - minute * 60;
            for (class, number) in [("success", *good), ("failure", 100 - good)] {
                let number = number * times;
                answers.push(format!(
                    "response_total{{{of},classification=\"{class}\"}} {number} {at}\n"
                ));
            }
            for (le, number) in [("100", *fast), ("1000", 100), ("+Inf", 100)] {
                let number = number * times;
                latencies.push(format!(
                    "response_latency_ms_bucket{{{of},le=\"{le}\"}} {number} {at}\n"
                ));
            }
        }
    }
    let (answers, latencies) = (answers.concat(), latencies.concat());
    format!(
        "# TYPE response counter\n{answers}# TYPE response_latency_ms histogram\n{latencies}# EOF\n"
    )
}

#[test]
#[ignore = "needs Prometheus"]
fn gate_asks_a_real_prometheus_for_success_rate_and_latency_of_what_was_restarted() {
    let is_there = Path::new("/usr/bin/prometheus").exists();
    assert!(is_there, "Prometheus (Debian: apt install prometheus)");
    let tools = toolbox!();
    let metrics = metrics(&[("web", 100, 100), ("failing", 90, 100), ("slow", 100, 10)]);
    let prometheus = Prometheus::with(&tools, &metrics);
    let url = prometheus.url.clone();
    let gate = |rolled: &[(&str, &str)]| gate(&tools, &url, rolled);

    let said = gate(&[("web", "proven"), ("idle", "proven"), ("failing", "failed")]).exits(0);
    assert!(
        said.stdout
            .contains("shop/Deployment/web: success rate 1\n")
    );
    assert!(said.stdout.contains("shop/Deployment/idle: no traffic\n"));
    assert!(!said.stdout.contains("failing"), "{}", said.stdout);
    let said = gate(&[("web", "proven"), ("failing", "proven")]).exits(1);
    let rate = "shop/Deployment/failing: success rate 0.8999";
    assert!(said.stdout.contains(rate), "{}", said.stdout);
    let said = gate(&[("slow", "proven")]).exits(1);
    assert!(said.stdout.contains("must be <= 200"), "{}", said.stdout);
    // The last record of a workload counts.
    gate(&[("slow", "proven"), ("slow", "failed")]).exits(0);
    gate(&[]).exits(0);
    drop(prometheus);
    let said = gate(&[("web", "proven")]);
    assert_ne!(said.code, Some(0), "who cannot ask does not agree");
}
