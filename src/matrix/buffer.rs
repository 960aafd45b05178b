//! A read-only array that is either owned or a window into a mapped file.

use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

/// A read-only array of plain numbers, owned or mapped.
#[derive(Clone, Debug)]
pub enum Buffer<T> {
    /// In memory of our own.
    Owned(Arc<[T]>),
    /// A window into a mapped file; see [`Buffer::mapped`].
    Mapped(Window<T>),
}

/// A checked window into a mapped file.
#[derive(Clone, Debug)]
pub struct Window<T> {
    map: Arc<Mmap>,
    bytes: Range<usize>,
    item: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// The items in `bytes` of the mapped file, or `None` when the range does not lie in the file, is not aligned
    /// for `T`, or is no whole number of items.
    pub fn mapped(map: Arc<Mmap>, bytes: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, T>(map.get(bytes.clone())?).ok()?;
        Some(Self::Mapped(Window { map, bytes, item: PhantomData }))
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(items) => items,
            Self::Mapped(window) => bytemuck::cast_slice(&window.map[window.bytes.clone()]),
        }
    }
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(items: Vec<T>) -> Self {
        Self::Owned(items.into())
    }
}
