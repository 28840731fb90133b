//! The encoding of messages and beats: numbered fields, so that versions can differ.
