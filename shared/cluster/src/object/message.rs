//! Reads the slim types from protobuf, the form in which the API server keeps objects.
//!
//! The field numbers are those of `generated.proto` in `k8s.io/api` and `k8s.io/apimachinery`. Fields
//! that are not declared are skipped. A length that the bytes claim is compared with the bytes that
//! are there, and nothing is allocated for it.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Why bytes are not the protobuf that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes end within a field.
    #[error("it breaks off")]
    Cut,
    /// The bytes are no fields.
    #[error("it is not protobuf")]
    NoFields,
    /// A field is of another type, or has a value that its type does not have.
    #[error("a field has another form")]
    OtherForm,
}

/// A field's value, as far as its bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number of variable length.
    Number(u64),
    /// A text, a list of bytes or a message.
    Bytes(&'a [u8]),
    /// A number of 4 or 8 bytes. No field that is read has this type.
    Fixed,
}

/// What comes after a field's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Number(u64),
    Length(u64),
    Fixed(usize),
}

/// Something that a field of a message fills.
pub trait Message: Default {
    /// Takes a value in. A field that comes again replaces a value, extends a list or map, and is
    /// merged into a message.
    ///
    /// # Errors
    /// The value has another type.
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable>;

    /// Returns true if the value stands for none at all.
    fn is_none(_: Value<'_>) -> bool {
        false
    }
}

/// Reads a message from its bytes.
///
/// # Errors
/// The bytes are no such message, or are cut.
pub fn read<T: Message>(bytes: &[u8]) -> Result<T, Unreadable> {
    let mut message = T::default();
    message.merge(Value::Bytes(bytes))?;
    Ok(message)
}

/// Takes the number of a field, and what comes after it, off the front.
pub(crate) fn begin(bytes: &mut &[u8]) -> Result<(u64, Begin), Unreadable> {
    let tag = number(bytes)?;
    let begin = match tag & 7 {
        0 => Begin::Number(number(bytes)?),
        1 => Begin::Fixed(8),
        2 => Begin::Length(number(bytes)?),
        5 => Begin::Fixed(4),
        _ => return Err(Unreadable::NoFields),
    };
    match tag >> 3 {
        0 => Err(Unreadable::NoFields),
        field => Ok((field, begin)),
    }
}

/// Gives each field of a message to `take`.
pub(crate) fn each_field<'a>(
    mut bytes: &'a [u8],
    mut take: impl FnMut(u64, Value<'a>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    while !bytes.is_empty() {
        let (field, begin) = begin(&mut bytes)?;
        let value = match begin {
            Begin::Number(number) => Value::Number(number),
            Begin::Length(length) => {
                let length = usize::try_from(length).map_err(|_| Unreadable::Cut)?;
                Value::Bytes(front(&mut bytes, length)?)
            }
            Begin::Fixed(length) => {
                front(&mut bytes, length)?;
                Value::Fixed
            }
        };
        take(field, value)?;
    }
    Ok(())
}

fn front<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Unreadable> {
    let (front, rest) = bytes.split_at_checked(length).ok_or(Unreadable::Cut)?;
    *bytes = rest;
    Ok(front)
}

fn number(bytes: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Unreadable::Cut)?;
        *bytes = rest;
        // The tenth byte has the last bit.
        if shift == 63 && *byte > 1 {
            return Err(Unreadable::NoFields);
        }
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Unreadable::NoFields)
}

/// Declares the fields of a message with their numbers, and how one is read that has a form of its
/// own.
macro_rules! message {
    ($type:ty { $($number:literal: $field:ident $(by $read:path)?),* $(,)? }) => {
        impl $crate::object::message::Message for $type {
            fn merge(
                &mut self,
                value: $crate::object::message::Value<'_>,
            ) -> Result<(), $crate::object::message::Unreadable> {
                let bytes = value.bytes()?;
                $crate::object::message::each_field(bytes, |number, value| match number {
                    $($number => $crate::object::message::message!(
                        @read (&mut self.$field, value) $($read)?
                    ),)*
                    _ => Ok(()),
                })
            }
        }
    };
    (@read ($field:expr, $value:ident)) => {
        $crate::object::message::Message::merge($field, $value)
    };
    (@read ($field:expr, $value:ident) $read:path) => { $read($field, $value) };
}

pub(crate) use message;

// === impl Value ===

impl<'a> Value<'a> {
    /// Returns the bytes of a text or message.
    ///
    /// # Errors
    /// The value is a number.
    pub fn bytes(self) -> Result<&'a [u8], Unreadable> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Fixed => Err(Unreadable::OtherForm),
        }
    }

    fn number(self) -> Result<u64, Unreadable> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) | Self::Fixed => Err(Unreadable::OtherForm),
        }
    }
}

// === impl Message ===

impl Message for String {
    // The API server's JSON has the replacement character for bytes that are no UTF-8, too.
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        *self = Self::from_utf8_lossy(value.bytes()?).into_owned();
        Ok(())
    }
}

impl Message for bool {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        *self = value.number()? != 0;
        Ok(())
    }
}

impl Message for i64 {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        *self = value.number()?.cast_signed();
        Ok(())
    }
}

impl Message for i32 {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        let number = value.number()?.cast_signed();
        *self = Self::try_from(number).map_err(|_| Unreadable::OtherForm)?;
        Ok(())
    }
}

impl Message for u32 {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        *self = Self::try_from(value.number()?).map_err(|_| Unreadable::OtherForm)?;
        Ok(())
    }
}

impl<T: Message> Message for Option<T> {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        if T::is_none(value) {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().merge(value)
    }
}

impl<T: Message> Message for Vec<T> {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        let mut item = T::default();
        item.merge(value)?;
        self.push(item);
        Ok(())
    }
}

impl Message for BTreeMap<String, String> {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        let (mut key, mut text) = (String::new(), String::new());
        each_field(value.bytes()?, |field, value| match field {
            1 => key.merge(value),
            2 => text.merge(value),
            _ => Ok(()),
        })?;
        self.insert(key, text);
        Ok(())
    }
}

#[derive(Default)]
struct Moment {
    seconds: i64,
    nanos: i32,
}

message!(Moment {
    1: seconds,
    2: nanos
});

impl Message for Timestamp {
    fn merge(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        let Moment { seconds, nanos } = read(value.bytes()?)?;
        *self = Self::new(seconds, nanos).map_err(|_| Unreadable::OtherForm)?;
        Ok(())
    }

    // A time that an object lacks is an empty message, where JSON has `null`.
    fn is_none(value: Value<'_>) -> bool {
        value == Value::Bytes(&[])
    }
}
