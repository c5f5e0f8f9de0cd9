//! Reads a list in protobuf while its bytes arrive, object by object.
//!
//! The bytes are `k8s\0` and a `runtime.Unknown`, whose third part, `raw`, is the list (k8s.io/
//! apimachinery, `pkg/runtime/generated.proto`). Every server writes its fields in order and `raw`
//! before an encoding and a content type, so a list that is cut anywhere is not taken for a whole one.

use serde::Deserialize;

use crate::object::message::{Begin, Message as _, Unreadable, Value, begin, message, read};
use crate::wire::request::check_kind;
use crate::wire::said::MAGIC;

/// A list whose bytes arrive.
#[derive(Debug)]
pub(crate) struct Listing {
    wanted: String,
    cap: usize,
    place: Place,
    is_typed: bool,
    meta: Option<ListMeta>,
    buffer: Vec<u8>,
}

/// The metadata of a list.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListMeta {
    pub(crate) resource_version: String,
    /// Empty after the last page.
    #[serde(rename = "continue")]
    pub(crate) token: String,
}

/// Why a list cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the answer cannot be used: {0}")]
    Unreadable(Unreadable),
    /// The answer is of another kind.
    #[error("{0}")]
    Kind(String),
    /// A part of the list is longer than the cap.
    #[error("an object of the answer is larger than {0} MiB")]
    Oversized(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Magic,
    /// In the fields before the list.
    Head,
    /// In the list, of which so many bytes have not been read.
    List(u64),
    /// In the fields after the list; whether the last of them was read.
    Tail(bool),
}

#[derive(Default)]
struct TypeMeta {
    kind: String,
}

message!(ListMeta {
    2: resource_version,
    3: token
});

message!(TypeMeta { 2: kind });

impl From<Unreadable> for Broken {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}

// === impl Listing ===

impl Listing {
    /// A list of this kind; none of its objects may be longer than the cap.
    pub(crate) fn new(wanted: String, cap: usize) -> Self {
        Self {
            wanted,
            cap,
            place: Place::Magic,
            is_typed: false,
            meta: None,
            buffer: Vec::new(),
        }
    }

    /// Takes bytes in, and gives the bytes of each object that is whole to `add`.
    ///
    /// # Errors
    /// The bytes are no such list.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut add: impl FnMut(&[u8]) -> Result<(), Unreadable>,
    ) -> Result<(), Broken> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(bytes);
        let mut rest = buffer.as_slice();
        while let Some(length) = self.step(rest, &mut add)? {
            rest = &rest[length..];
        }
        let used = buffer.len() - rest.len();
        buffer.drain(..used);
        self.buffer = buffer;
        Ok(())
    }

    /// Returns the list's metadata after the last byte.
    ///
    /// # Errors
    /// The list is not whole.
    pub(crate) fn end(self) -> Result<ListMeta, Broken> {
        let is_whole = self.place == Place::Tail(true) && self.buffer.is_empty();
        let meta = self.meta.filter(|_| is_whole);
        meta.ok_or(Broken::Unreadable(Unreadable::Cut))
    }

    /// How many bytes are kept until an object is whole.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.buffer.capacity()
    }

    // Reads one part, and returns how many bytes it has; `None` if it is not whole.
    fn step(
        &mut self,
        bytes: &[u8],
        add: &mut impl FnMut(&[u8]) -> Result<(), Unreadable>,
    ) -> Result<Option<usize>, Broken> {
        match self.place {
            Place::Magic if bytes.len() < MAGIC.len() => Ok(None),
            Place::Magic if bytes.starts_with(MAGIC) => {
                self.place = Place::Head;
                Ok(Some(MAGIC.len()))
            }
            Place::Magic => Err(Unreadable::NoFields.into()),
            Place::Head => self.head(bytes),
            Place::List(0) => {
                self.place = Place::Tail(false);
                Ok(Some(0))
            }
            Place::List(left) => self.list(bytes, left, add),
            Place::Tail(_) => {
                let Some((field, value, length)) = self.part(bytes)? else {
                    return Ok(None);
                };
                match (field, value) {
                    (1 | 2, _) => return Err(Unreadable::NoFields.into()),
                    // A list that is encoded in another way.
                    (3, Value::Bytes(encoding)) if !encoding.is_empty() => {
                        return Err(Unreadable::OtherForm.into());
                    }
                    (4, _) => self.place = Place::Tail(true),
                    (_, _) => {}
                }
                Ok(Some(length))
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let mut rest = bytes;
        match begin(&mut rest) {
            Ok((2, Begin::Length(length))) if self.is_typed => {
                self.place = Place::List(length);
                return Ok(Some(bytes.len() - rest.len()));
            }
            Ok((2, _)) => return Err(Unreadable::NoFields.into()),
            Err(Unreadable::Cut) => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        let Some((field, value, length)) = self.part(bytes)? else {
            return Ok(None);
        };
        if field == 1 {
            let TypeMeta { kind } = read(value.bytes()?)?;
            check_kind(&kind, &self.wanted).map_err(Broken::Kind)?;
            self.is_typed = true;
        }
        Ok(Some(length))
    }

    fn list(
        &mut self,
        bytes: &[u8],
        left: u64,
        add: &mut impl FnMut(&[u8]) -> Result<(), Unreadable>,
    ) -> Result<Option<usize>, Broken> {
        let within = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let Some((field, value, length)) = self.part(&bytes[..within])? else {
            // No byte is missing that could come.
            let is_over = within as u64 == left;
            return if is_over {
                Err(Unreadable::NoFields.into())
            } else {
                Ok(None)
            };
        };
        match field {
            1 => self.meta.get_or_insert_default().merge(value)?,
            2 => add(value.bytes()?)?,
            _ => {}
        }
        self.place = Place::List(left - length as u64);
        Ok(Some(length))
    }

    // One field and its length; `None` if it is not whole.
    fn part<'a>(&self, bytes: &'a [u8]) -> Result<Option<(u64, Value<'a>, usize)>, Broken> {
        let mut rest = bytes;
        let (field, begin) = match begin(&mut rest) {
            Ok(begun) => begun,
            Err(Unreadable::Cut) => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let before = bytes.len() - rest.len();
        let length = match begin {
            Begin::Number(number) => return Ok(Some((field, Value::Number(number), before))),
            Begin::Fixed(length) => length,
            Begin::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= self.cap => length,
                Ok(_) | Err(_) => return Err(Broken::Oversized(self.cap >> 20)),
            },
        };
        let value = match (rest.get(..length), begin) {
            (None, _) => return Ok(None),
            (Some(_), Begin::Fixed(_)) => Value::Fixed,
            (Some(bytes), Begin::Length(_) | Begin::Number(_)) => Value::Bytes(bytes),
        };
        Ok(Some((field, value, before + length)))
    }
}
