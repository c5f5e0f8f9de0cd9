//! The facts of a survey that upgrade notes rest on. A survey writes them and a note's condition names
//! them, so neither can spell one that the other does not know.

use std::fmt;

use serde::Deserialize;

/// Declares a closed set of facts, each with its spelling in the records.
macro_rules! facts {
    ($(#[$doc:meta])* $name:ident: $($(#[$of:meta])* $fact:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $text)] $fact,)*
        }

        impl $name {
            /// The spelling in the records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$fact => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

facts! {
    /// A value that the control plane was installed with.
    Setting:
    /// `cniEnabled`
    CniEnabled = "cni_enabled",
    /// `controlPlaneTracing`
    ControlPlaneTracing = "control_plane_tracing",
    /// `disableIdentity`
    IdentityDisabled = "identity_disabled",
    /// `proxyInit.iptablesMode`
    IptablesMode = "iptables_mode",
    /// `proxy.logFormat`
    LogFormat = "log_format",
    /// `proxy.nativeSidecar`
    NativeSidecar = "native_sidecar",
    /// `policyController.image.version`
    PolicyImageVersion = "policy_image_version",
    /// `proxyInit.resources.cpu.limit`
    ProxyInitCpu = "proxy_init_cpu_limit",
    /// `proxyInit.resources.memory.limit`
    ProxyInitMemory = "proxy_init_memory_limit",
    /// `proxy.image.name`
    ProxyImage = "proxy_image",
    /// `proxy.enableShutdownEndpoint`
    ShutdownEndpoint = "shutdown_endpoint",
    /// `proxy.tracing.collector.endpoint`
    TracingCollector = "tracing_collector",
    /// `proxy.waitBeforeExitSeconds`
    WaitBeforeExitSeconds = "wait_before_exit_seconds",
}

facts! {
    /// What pods do or use; the fact names their workloads.
    Use:
    /// A container stops its proxy through the proxy's shutdown endpoint.
    ShutdownEndpoint = "shutdown_endpoint_users",
    /// The pod is injected in ingress mode.
    IngressMode = "ingress_mode",
    /// An annotation makes the pod's proxy wait before it exits.
    WaitBeforeExit = "wait_before_exit_annotations",
    /// An alpha or beta annotation asks for a native sidecar.
    NativeSidecarPreview = "native_sidecar_annotations",
    /// The pod is meshed in a namespace that newer injectors exclude.
    LeftOutNamespace = "meshed_in_left_out_namespaces",
    /// An annotation makes the pod's proxy log JSON.
    JsonLogs = "json_log_annotations",
    /// A NetworkPolicy lists ports of the pod, and the proxy's is not among them.
    ProxyPortLeftOut = "network_policies_without_4143",
    /// The pod asks for a proxy, and no injector would give it one.
    AsksButSkipped = "asks_but_skipped",
}

facts! {
    /// How many of something the cluster has.
    Count:
    /// Nodes with a 32-bit ARM processor.
    Arm32Nodes = "arm32_nodes",
    /// Workloads outside of the cluster that are in its mesh.
    ExternalWorkloads = "external_workloads",
    /// TrafficSplits.
    TrafficSplits = "traffic_splits",
}

impl Use {
    /// The kind that must be listed beside the pods, if they alone do not tell.
    #[must_use]
    pub const fn rests_on(self) -> Option<&'static str> {
        match self {
            Self::ProxyPortLeftOut => Some("NetworkPolicies"),
            Self::ShutdownEndpoint
            | Self::IngressMode
            | Self::WaitBeforeExit
            | Self::NativeSidecarPreview
            | Self::LeftOutNamespace
            | Self::JsonLogs
            | Self::AsksButSkipped => None,
        }
    }
}
