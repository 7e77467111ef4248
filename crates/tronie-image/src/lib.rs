//! Pixels without tensors: encoding, text chunks, contact sheets.
