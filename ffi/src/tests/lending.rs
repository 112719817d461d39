//! What C lends for a call: it is read to its end and no further, and may be freed right after. Nothing here needs a
//! socket, so that miri sees it.

use std::{
    ffi::CString,
    ptr::{null, null_mut},
};

use super::shortage::refuse;
use crate::{options::*, prepared::*, receive::*, status::*};

#[test]
fn a_message_is_read_to_its_end_and_may_be_freed_once_it_is_prepared() {
    // Shorter and longer than what is checked in another way.
    for len in [1, 5, 1000] {
        for kind in [WSTRAND_TEXT, WSTRAND_BINARY] {
            let data = vec![b'a'; len].into_boxed_slice();
            let mut prepared = null_mut();
            // SAFETY: as many bytes as are told, and pointers to this frame.
            let code = unsafe {
                let pointer = data.as_ptr().cast();
                wstrand_prepared_new(kind, pointer, len, &raw mut prepared, null_mut())
            };
            assert_eq!(code, WSTRAND_OK);
            drop(data);
            // SAFETY: made above.
            unsafe { wstrand_prepared_free(prepared) };
        }
    }
}

#[test]
fn where_there_is_no_memory_to_prepare_a_message_nothing_is_made() {
    const SIZE: usize = 123_457;
    let data = vec![b'a'; SIZE + 1];
    let _refusing = refuse(SIZE);
    for prepare in [wstrand_prepared_new, wstrand_prepared_new_uncompressed] {
        let mut prepared = std::ptr::dangling_mut();
        // SAFETY: as many bytes as are told, and pointers to this frame.
        let code = unsafe {
            let pointer = data.as_ptr().cast();
            prepare(WSTRAND_TEXT, pointer, SIZE, &raw mut prepared, null_mut())
        };
        assert_eq!(code, WSTRAND_OUT_OF_MEMORY);
        assert!(prepared.is_null());
    }
}

#[test]
fn text_given_to_options_may_be_freed_at_once() {
    // SAFETY: nothing is handed in but live handles, and text with a NUL.
    unsafe {
        let options = wstrand_options_new();
        let name = CString::from(c"X-Name");
        let value = CString::from(c"value");
        let code = wstrand_options_add_header(options, name.as_ptr(), value.as_ptr());
        assert_eq!(code, WSTRAND_OK);
        drop((name, value));
        let code = wstrand_options_add_header(options, c"X-Other".as_ptr(), null());
        assert_eq!(code, WSTRAND_INVALID_ARGUMENT);
        wstrand_options_free(options);
    }
}
