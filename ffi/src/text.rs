//! Text and bytes that C may look at for as long as a handle lives.

use std::{
    ffi::{CString, c_char},
    ptr,
};

use wstrand::http::{HeaderMap, HeaderName, HeaderValue};

/// Text with a NUL behind it. NULs within, of which there should be none, are left out.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).unwrap_or_else(|error| {
        let mut text = error.into_vec();
        text.retain(|byte| *byte != 0);
        CString::new(text).unwrap_or_default()
    })
}

/// The pointer to text that there may be.
pub(crate) fn pointer(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}

/// Bytes with a NUL behind them, whatever else is in them.
#[derive(Debug)]
pub(crate) struct Terminated(Vec<u8>);

impl Terminated {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let mut bytes = bytes.into();
        bytes.push(0);
        Self(bytes)
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }

    /// Without the NUL.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// Header fields.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(String, CString)>);

impl Fields {
    pub(crate) fn new(fields: &HeaderMap) -> Self {
        let copy = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), c_string(value.as_bytes()))
        };
        Self(fields.iter().map(copy).collect())
    }

    /// The value of the field of this name, the `index`th if it is repeated; NULL if there is none.
    pub(crate) fn value(&self, name: &str, index: usize) -> *const c_char {
        let mut values = self
            .0
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        pointer(values.nth(index).map(|(_, value)| value))
    }
}
