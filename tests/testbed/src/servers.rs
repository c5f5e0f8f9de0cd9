//! Makes the command lines of the servers.

use std::path::Path;

use crate::{assets::Assets, children::Children, place::Place};

/// A server of a bed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
}

/// The user name of the bed's own controllers, scheduler, kubelet and injector.
pub(crate) const MACHINERY: &str = "testbed-machinery";

/// The audit policy: logs all requests of clients, and the bodies of patches of workloads. Requests
/// of the bed's own machinery are left out, because they are too many.
pub(crate) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  users: [testbed-machinery]
- level: Request
  verbs: [patch]
  resources: [{group: apps}]
- level: Request
  verbs: [create]
  resources: [{group: '', resources: [pods/eviction]}]
- level: Metadata
";

// === impl Server ===

impl Server {
    /// Returns the program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    pub(crate) fn start(
        self,
        children: &Children,
        assets: &Assets,
        place: &Place,
    ) -> anyhow::Result<()> {
        children.start(self.name(), self.program(assets), &self.args(place))
    }

    fn program(self, assets: &Assets) -> &Path {
        match self {
            Self::Etcd => &assets.etcd,
            Self::ApiServer => &assets.kube_apiserver,
            Self::ControllerManager => &assets.kube_controller_manager,
            Self::Scheduler => &assets.kube_scheduler,
        }
    }

    fn args(self, place: &Place) -> Vec<String> {
        match self {
            Self::Etcd => etcd(place),
            Self::ApiServer => api_server(place),
            Self::ControllerManager => controller_manager(place),
            Self::Scheduler => client_of_api_server(place),
        }
    }
}

fn path(place: &Place, name: &str) -> String {
    place.path(name).display().to_string()
}

fn etcd(place: &Place) -> Vec<String> {
    let (peer, client) = (format!("http://{}:2380", place.address()), etcd_url(place));
    vec![
        format!("--data-dir={}", path(place, "etcd")),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".into(),
        "--quota-backend-bytes=8589934592".into(),
        "--log-level=warn".into(),
    ]
}

fn etcd_url(place: &Place) -> String {
    format!("http://{}:2379", place.address())
}

fn api_server(place: &Place) -> Vec<String> {
    let (address, certificate, key) = (
        place.address(),
        path(place, "admin.crt"),
        path(place, "admin.key"),
    );
    vec![
        format!("--etcd-servers={}", etcd_url(place)),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--secure-port={}", place.api_port()),
        "--endpoint-reconciler-type=none".into(),
        format!("--tls-cert-file={certificate}"),
        format!("--tls-private-key-file={key}"),
        format!("--client-ca-file={}", path(place, "ca.crt")),
        format!("--cert-dir={}", path(place, "certs")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={certificate}"),
        format!("--service-account-signing-key-file={key}"),
        format!("--service-cluster-ip-range={}", place.services()),
        "--authorization-mode=RBAC".into(),
        "--allow-privileged=true".into(),
        // The controller that would remove the taint does not run here.
        "--disable-admission-plugins=TaintNodesByCondition".into(),
        "--enable-priority-and-fairness=false".into(),
        "--max-requests-inflight=0".into(),
        "--max-mutating-requests-inflight=0".into(),
        format!(
            "--egress-selector-config-file={}",
            path(place, "egress.yaml")
        ),
        format!("--audit-policy-file={}", path(place, "audit-policy.yaml")),
        format!("--audit-log-path={}", path(place, "audit.log")),
        "--audit-log-mode=blocking".into(),
        "--audit-log-maxsize=100000".into(),
    ]
}

fn controller_manager(place: &Place) -> Vec<String> {
    let mut args = vec![
        // Nobody renews the fake nodes' leases, so this controller would mark the nodes as not
        // ready.
        "--controllers=*,-node-lifecycle-controller".into(),
        "--use-service-account-credentials=false".into(),
        format!("--root-ca-file={}", path(place, "ca.crt")),
        format!(
            "--service-account-private-key-file={}",
            path(place, "admin.key")
        ),
        "--concurrent-deployment-syncs=20".into(),
        "--concurrent-replicaset-syncs=20".into(),
        "--concurrent-statefulset-syncs=20".into(),
    ];
    args.extend(client_of_api_server(place));
    args
}

fn client_of_api_server(place: &Place) -> Vec<String> {
    let kubeconfig = path(place, "kubeconfig-machinery");
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
    ]
}
