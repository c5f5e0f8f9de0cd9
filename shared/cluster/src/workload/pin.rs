//! Pins: annotations, and proxies in a pod template, that hold a proxy at one version.

use mesh_records::{Pin, PinPlace};

use crate::object::label;
use crate::object::{Meta, Template};
use crate::workload::proxy;

/// Reads the pin in the annotations of a pod, a template or a namespace. An empty version is none,
/// and an image without a version pins none.
pub fn asked_pin(meta: &Meta, place: PinPlace) -> Option<Pin> {
    let version = meta.annotations.get(label::PIN_VERSION);
    let version = version.filter(|version| !version.is_empty()).cloned();
    version.map(|version| Pin {
        place,
        version: Some(version),
    })
}

/// Reads the pins of a pod template. A proxy that is itself in the template counts as a pin,
/// because the injector then skips the pod.
pub fn template_pins(template: &Template) -> Vec<Pin> {
    let baked_in = proxy::sidecar(&template.spec).map(|sidecar| Pin {
        place: PinPlace::BakedIn,
        version: proxy::version(&sidecar.container.image, &template.meta.annotations).version,
    });
    let asked = asked_pin(&template.meta, PinPlace::Template);
    baked_in.into_iter().chain(asked).collect()
}
