//! Who wrote which fields of an object, as far as a roll needs it.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::message::{Message, Unreadable, Value, message};

/// The field managers that wrote an object itself and not only its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers {
    pub names: Vec<String>,
    /// Those that wrote the last restart: the annotation of the pod template, or the `restartAt` of an
    /// Argo Rollout.
    pub of_restart: Vec<String>,
}

// What one of them wrote.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ManagedFields {
    manager: String,
    subresource: String,
    fields_v1: Option<Fields>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<SpecFields>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecFields {
    #[serde(rename = "f:template")]
    template: Option<TemplateFields>,
    #[serde(rename = "f:restartAt")]
    restart_at: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TemplateFields {
    #[serde(rename = "f:metadata")]
    meta: Option<MetaFields>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MetaFields {
    #[serde(rename = "f:annotations")]
    annotations: Option<AnnotationFields>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnnotationFields {
    #[serde(rename = "f:kubectl.kubernetes.io/restartedAt")]
    restarted_at: Option<IgnoredAny>,
}

message!(ManagedFields {
    1: manager,
    7: fields_v1 by fields,
    8: subresource,
});

// In the protobuf form, the JSON of the fields is in a message of its own.
#[derive(Default)]
struct Raw {
    fields: Option<Fields>,
}

message!(Raw { 1: fields by json });

// Fields in another form tell nothing of a restart.
fn fields(fields: &mut Option<Fields>, value: Value<'_>) -> Result<(), Unreadable> {
    let mut raw = Raw::default();
    if raw.merge(value).is_ok() {
        *fields = raw.fields;
    }
    Ok(())
}

// The fields of a pod are many, and hardly any are of a restart.
fn json(fields: &mut Option<Fields>, value: Value<'_>) -> Result<(), Unreadable> {
    let Ok(text) = std::str::from_utf8(value.bytes()?) else {
        return Ok(());
    };
    if text.contains("f:kubectl.kubernetes.io/restartedAt") || text.contains("f:restartAt") {
        *fields = serde_json::from_str(text).ok();
    }
    Ok(())
}

// === impl Managers ===

impl Managers {
    fn note(&mut self, one: ManagedFields) {
        if !one.subresource.is_empty() {
            return;
        }
        if one.has_restart() {
            self.of_restart.push(one.manager.clone());
        }
        if !self.names.contains(&one.manager) {
            self.names.push(one.manager);
        }
    }
}

impl ManagedFields {
    fn has_restart(&self) -> bool {
        let spec = self.fields_v1.as_ref().and_then(|it| it.spec.as_ref());
        let template = spec.and_then(|it| it.template.as_ref());
        let meta = template.and_then(|it| it.meta.as_ref());
        let annotations = meta.and_then(|it| it.annotations.as_ref());
        annotations.is_some_and(|it| it.restarted_at.is_some())
            || spec.is_some_and(|it| it.restart_at.is_some())
    }
}

impl Message for Managers {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        let mut one = ManagedFields::default();
        one.merge(value)?;
        self.note(one);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Managers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all: Option<Vec<ManagedFields>> = Option::deserialize(deserializer)?;
        let mut managers = Self::default();
        for one in all.into_iter().flatten() {
            managers.note(one);
        }
        Ok(managers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTART: &str = r#"{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:kubectl.kubernetes.io/restartedAt":{}}}}}}"#;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn whoever_wrote_the_restart_is_told_from_those_that_wrote_something_else() {
        let argo = r#"{"f:spec": {"f:restartAt": {}}}"#;
        let other = r#"{"f:metadata": {"f:labels": {".": {}}}, "f:spec": {"f:replicas": {}}}"#;
        let status = r#"{"f:status": {}}"#;
        let table = [
            (RESTART, "", &["helm", "op"][..], &["op"][..]),
            (argo, "", &["helm", "op"], &["op"]),
            (other, "", &["helm", "op"], &[]),
            (status, "status", &["helm"], &[]),
        ];
        for (fields, subresource, all, of_restart) in table {
            let json = format!(
                r#"[{{"manager": "helm", "fieldsV1": {other}}}, {{"manager": "op", "subresource": "{subresource}", "fieldsV1": {fields}}}]"#
            );
            let expected = Managers {
                names: names(all),
                of_restart: names(of_restart),
            };
            let found: Managers = serde_json::from_str(&json).unwrap();
            assert_eq!(found, expected, "{fields}");
        }
        assert_eq!(
            serde_json::from_str::<Managers>("null").unwrap(),
            Managers::default()
        );
    }

    #[test]
    fn whoever_wrote_the_restart_is_told_in_protobuf_too() {
        let field = |number: u8, bytes: &[u8]| {
            let length = u8::try_from(bytes.len()).unwrap();
            [&[number << 3 | 2, length], bytes].concat()
        };
        let fields = field(7, &field(1, RESTART.as_bytes()));
        let entry = [field(1, b"op"), fields].concat();
        let mut found = Managers::default();
        found.merge(Value::Bytes(&entry)).unwrap();
        assert_eq!(found.of_restart, ["op"]);
    }
}
