//! Generated lists and image references: no reader panics, and no list that is cut is whole.

use mesh_dice::{Dice, cases};
use serde_json::{Value, json};

use crate::object::message::read;
use crate::object::{Deployment, Pod};
use crate::wire::exchange::ANSWER;
use crate::wire::listing::{Broken, ListMeta, Listing};
use crate::wire::page::json_list;
use crate::wire::said::MAGIC;
use crate::workload::proxy::{image_tag, linkerd_version};

/// A message in protobuf that is written field by field.
#[derive(Clone, Default)]
struct Written(Vec<u8>);

type Read<T> = Result<(ListMeta, Vec<T>), Broken>;

impl Written {
    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn part(self, field: u64, part: Self) -> Self {
        let Self(bytes) = part;
        self.bytes(field, &bytes)
    }

    fn entry(self, field: u64, key: &str, text: &str) -> Self {
        self.part(field, Self::default().text(1, key).text(2, text))
    }
}

/// One pod in both forms.
fn pod(number: usize) -> (Written, Value) {
    let new = Written::default;
    let meta = new()
        .text(1, &format!("web-{number}"))
        .text(3, "shop")
        .text(5, "u")
        .number(7, 3)
        .part(8, new().number(1, 1_700_000_000).number(2, 0))
        .part(9, new())
        .entry(11, "app", "web")
        .entry(12, "linkerd.io/proxy-version", "stable-2.14.10")
        .part(
            13,
            new()
                .text(1, "ReplicaSet")
                .text(3, "web-1")
                .text(4, "r")
                .text(5, "apps/v1")
                .number(6, 1),
        )
        .part(17, new().text(1, "kubelet").bytes(7, &[b'f'; 300]))
        .part(17, new().text(1, "kubelet").text(8, "status"))
        .part(17, new().text(1, "loop").text(8, "status"));
    let bundle = new()
        .text(1, "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS")
        .text(2, "pem");
    let proxy = new()
        .text(1, "linkerd-proxy")
        .text(2, "cr.l5d.io/linkerd/proxy:stable-2.14.10")
        .part(7, new().text(1, "LOG").text(2, "info"))
        .part(7, bundle)
        .text(24, "Always");
    let spec = new()
        .part(20, proxy)
        .part(2, new().text(1, "web").text(3, "run").text(4, "-v"))
        .text(3, "Never")
        .number(4, 30)
        .text(10, "node-1")
        .number(11, 0)
        .number(21, 0);
    let condition = new()
        .text(1, "Ready")
        .text(2, "True")
        .part(4, new().number(1, 1_700_000_000))
        .text(5, "why")
        .text(6, "so");
    let waiting = new().part(1, new().text(1, "CrashLoopBackOff").text(2, "back-off"));
    let ended = new().part(3, new().number(1, u64::MAX));
    let status = new()
        .text(1, "Running")
        .part(2, condition)
        .part(
            8,
            new()
                .text(1, "web")
                .part(2, waiting)
                .number(4, 0)
                .number(5, 7),
        )
        .part(
            10,
            new().text(1, "linkerd-proxy").part(2, ended).number(4, 1),
        );
    let json = json!({
        "metadata": {
            "name": format!("web-{number}"), "namespace": "shop", "uid": "u", "generation": 3,
            "creationTimestamp": "2023-11-14T22:13:20Z", "deletionTimestamp": null,
            "labels": {"app": "web"}, "annotations": {"linkerd.io/proxy-version": "stable-2.14.10"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "uid": "r", "apiVersion": "apps/v1", "controller": true}],
            "managedFields": [{"manager": "kubelet"}, {"manager": "loop", "subresource": "status"}],
        },
        "spec": {
            "initContainers": [{
                "name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy:stable-2.14.10",
                "restartPolicy": "Always",
                "env": [{"name": "LOG", "value": "info"}, {"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": "pem"}],
            }],
            "containers": [{"name": "web", "command": ["run"], "args": ["-v"]}],
            "restartPolicy": "Never", "nodeName": "node-1", "hostNetwork": false,
            "automountServiceAccountToken": false,
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z", "reason": "why", "message": "so"}],
            "containerStatuses": [{"name": "web", "ready": false, "restartCount": 7,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}],
            "initContainerStatuses": [{"name": "linkerd-proxy", "ready": true, "state": {"terminated": {"exitCode": -1}}}],
        },
    });
    (new().part(1, meta).part(2, spec).part(3, status), json)
}

fn list(pods: usize) -> Vec<u8> {
    let new = Written::default;
    let meta = new().text(1, "").text(2, "77").text(3, "more");
    let mut list = new().part(1, meta);
    for number in 0..pods {
        list = list.part(2, pod(number).0);
    }
    let kind = new().text(1, "v1").text(2, "PodList");
    let unknown = new().part(1, kind).part(2, list).text(3, "").text(4, "");
    [MAGIC, &unknown.0].concat()
}

/// Feeds a list in pieces.
fn fed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read<Pod> {
    let mut listing = Listing::new("PodList".to_owned(), ANSWER);
    let mut pods = Vec::new();
    for piece in pieces {
        listing.feed(piece, |object| {
            pods.push(read(object)?);
            Ok(())
        })?;
    }
    Ok((listing.end()?, pods))
}

#[test]
fn a_pod_is_the_same_in_protobuf_and_in_json() {
    let (protobuf, json) = pod(1);
    let expected: Pod = serde_json::from_value(json).unwrap();
    assert_eq!(read::<Pod>(&protobuf.0).unwrap(), expected);
}

#[test]
fn owners_are_the_same_in_protobuf_and_in_json() {
    let new = Written::default;
    let percent = new().number(1, 1).number(2, 0).text(3, "25%");
    let whole = new().number(1, 0).number(2, 2).text(3, "");
    let update = new().part(1, percent).part(2, whole);
    let spec = new()
        .number(1, 3)
        .part(
            2,
            new()
                .entry(1, "app", "web")
                .part(2, new().text(1, "k").text(2, "In").text(3, "v")),
        )
        .part(
            3,
            new().part(1, new().entry(12, "linkerd.io/inject", "enabled")),
        )
        .part(4, new().text(1, "RollingUpdate").part(2, update))
        .number(7, 1);
    let condition = new()
        .text(1, "ReplicaFailure")
        .text(2, "True")
        .text(4, "FailedCreate")
        .text(5, "quota");
    let status = new()
        .number(1, 9)
        .number(2, 3)
        .number(3, 2)
        .number(4, 1)
        .part(6, condition)
        .number(7, 1);
    let protobuf = new()
        .part(1, new().text(1, "web"))
        .part(2, spec)
        .part(3, status);
    let expected: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3, "paused": true,
            "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]},
            "template": {"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 2}},
        },
        "status": {
            "observedGeneration": 9, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 1, "readyReplicas": 1,
            "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}],
        },
    }))
    .unwrap();
    assert_eq!(read::<Deployment>(&protobuf.0).unwrap(), expected);
}

#[test]
fn a_list_that_is_cut_at_any_byte_is_an_error() {
    let whole = list(3);
    let (meta, pods) = fed([&whole[..]]).unwrap();
    assert_eq!(
        (meta.resource_version.as_str(), meta.token.as_str()),
        ("77", "more")
    );
    assert_eq!(pods.len(), 3);
    for length in 0..whole.len() {
        assert!(fed([&whole[..length]]).is_err(), "cut after {length} bytes");
    }
    let names = (0..3).map(|number| pod(number).1);
    let json =
        json!({"kind": "PodList", "metadata": {}, "items": names.collect::<Vec<_>>()}).to_string();
    assert_eq!(
        json_list::<Pod>(json.as_bytes(), "PodList").unwrap().1,
        pods
    );
    for length in 0..json.len() {
        assert!(
            json_list::<Pod>(&json.as_bytes()[..length], "PodList").is_err(),
            "{length}"
        );
    }
}

#[test]
fn nothing_is_kept_for_a_length_that_is_only_claimed() {
    let kind = Written::default().text(1, "v1").text(2, "PodList");
    for claimed in [ANSWER as u64 + 1, 1 << 40, u64::MAX] {
        let mut huge = Written(MAGIC.to_vec()).part(1, kind.clone());
        huge.0.push(2 << 3 | 2);
        huge.varint(claimed);
        let mut listing = Listing::new("PodList".to_owned(), ANSWER);
        // The list itself may have any length, for none of it is kept; an object may not.
        listing.feed(&huge.0, |_| Ok(())).unwrap();
        assert!(listing.kept() < 64);
        let mut object = Written(vec![2 << 3 | 2]);
        object.varint(claimed);
        let fed = listing.feed(&object.0, |_| Ok(()));
        assert_eq!(fed, Err(Broken::Oversized(ANSWER >> 20)), "{claimed}");
    }
}

#[test]
fn an_answer_of_another_kind_or_encoding_is_never_a_list() {
    let new = Written::default;
    let meta = || new().part(1, new().text(2, "1"));
    let unknown = |kind: &str, encoding: &str| {
        let kind = new().text(1, "v1").text(2, kind);
        let unknown = new()
            .part(1, kind)
            .part(2, meta())
            .text(3, encoding)
            .text(4, "");
        [MAGIC, &unknown.0].concat()
    };
    assert!(fed([&unknown("PodList", "")[..]]).is_ok());
    let said = fed([&unknown("Status", "")[..]]).unwrap_err().to_string();
    assert_eq!(said, "the answer is a Status, not a PodList");
    assert!(fed([&unknown("PodList", "gzip")[..]]).is_err());
    let untyped = new().part(2, meta()).text(3, "").text(4, "");
    assert!(fed([&[MAGIC, &untyped.0].concat()[..]]).is_err());
    assert!(fed([&b"{\"kind\":\"PodList\"}"[..]]).is_err());
}

#[test]
fn fuzz_lists_in_protobuf() {
    let whole = list(2);
    cases(3000, |dice| {
        let mut bytes = whole.clone();
        dice.damage(&mut bytes);
        let at_once = fed([&bytes[..]]);
        assert_eq!(
            fed(pieces(dice, &bytes)),
            at_once,
            "the pieces make a difference"
        );
        if let Ok((_, pods)) = at_once {
            assert!(pods.len() <= bytes.len());
        }
    });
}

fn pieces<'a>(dice: &mut Dice, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(1 + dice.roll(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

#[test]
fn fuzz_lists_in_json() {
    let items = [pod(0).1, pod(1).1];
    let whole =
        json!({"kind": "PodList", "metadata": {"continue": "t"}, "items": items}).to_string();
    cases(3000, |dice| {
        let mut bytes = whole.clone().into_bytes();
        dice.damage(&mut bytes);
        let length = dice.roll(bytes.len());
        if let Ok((_, pods)) = json_list::<Pod>(&bytes, "PodList") {
            assert!(pods.len() <= bytes.len());
            let is_blank = bytes[length..].iter().all(u8::is_ascii_whitespace);
            let cut = json_list::<Pod>(&bytes[..length], "PodList");
            assert!(
                is_blank || cut.is_err(),
                "{}",
                String::from_utf8_lossy(&bytes[..length])
            );
        }
    });
}

#[test]
fn fuzz_messages() {
    cases(3000, |dice| {
        let mut bytes = pod(0).0.0;
        dice.damage(&mut bytes);
        let more = Written(bytes.clone()).text(1000, "of a newer API");
        if let Ok(pod) = read::<Pod>(&bytes) {
            assert_eq!(read(&more.0), Ok(pod), "{bytes:?}");
        }
        if let Ok(deployment) = read::<Deployment>(&bytes) {
            assert_eq!(read(&more.0), Ok(deployment), "{bytes:?}");
        }
    });
}

#[test]
fn fuzz_image_references() {
    let parts = [
        "cr.l5d.io",
        "/",
        "linkerd",
        "proxy",
        ":",
        "@",
        "sha256:",
        "0123abcd",
        "stable-2.14.10",
        "edge-24.8.2",
        "5000",
        "-",
        ".",
        "v2",
        "é",
        "\u{0}",
        " ",
        "99999999999999999999",
        "build",
        "+",
    ];
    cases(3000, |dice| {
        let image = dice.text(&parts, 12);
        if let Some(tag) = image_tag(&image) {
            assert!(image.contains(tag), "{image}");
            assert!(!tag.contains('/') && !tag.contains('@'), "{image}: {tag}");
            if let Some(version) = linkerd_version(tag) {
                assert!(tag.contains(version), "{image}: {version}");
            }
        }
    });
}
