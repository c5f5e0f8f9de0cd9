//! What the API server says of the cluster, of its own version, and of who asks.

use serde::Deserialize;

use crate::object::{Namespace, Resource};
use crate::wire::connect::Cluster;
use crate::wire::error::Error;
use crate::wire::target::{Options, Target};

/// The user that the API server sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct User {
    /// The user's name.
    pub username: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl Cluster {
    /// Reads the cluster's identity, the uid of its `kube-system` namespace, and with it the
    /// server's date.
    pub async fn uid(&self) -> Result<String, Error> {
        let namespace: Namespace = self.get(None, "kube-system").await?;
        Ok(namespace.meta.uid)
    }

    /// Asks the API server which user it sees.
    pub async fn whoami(&self) -> Result<User, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Status {
            user_info: User,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Review {
            status: Status,
        }
        let review = Resource {
            group: "authentication.k8s.io",
            version: "v1",
            plural: "selfsubjectreviews",
            kind: "SelfSubjectReview",
        };
        let body = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "SelfSubjectReview",
        });
        let target = Target::all(review);
        let answer: Review = self.create(&target, &body, Options::default()).await?;
        Ok(answer.status.user_info)
    }

    /// Reads the API server's gitVersion.
    pub async fn kubernetes(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let version: Version = self
            .get_path("reading the Kubernetes version", "/version")
            .await?;
        Ok(version.git_version)
    }
}
