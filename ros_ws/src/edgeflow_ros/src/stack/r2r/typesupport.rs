//! Types that were not compiled in, as their interface packages bring them.
//!
//! rcl wants a type support for each endpoint, and r2r has those of the types that it generated. Every installed interface
//! package brings its own in a library, which `rosbag2` and `ros2 topic echo` load by the type's name, and so does this module:
//! it finds the handle, and the functions which make and free a message, and converts between such a message and its octets by
//! the RMW. r2r asks a Rust type for all that, so there are [`SLOTS`] of them, which stand for nothing until a package's type is
//! loaded into their slot; [`foreign`](super::foreign) makes endpoints of them.
//!
//! All of this crate's `unsafe` that runs is here: a symbol of a library is a raw pointer, and only rosidl's naming says what it
//! points to.

#![expect(unsafe_code, reason = "what a library brings is known by rosidl's naming alone, and the RMW's functions are C")]

use super::NAME;
use crate::{
    error::{Error, Result},
    installed, names,
};
use libloading::Library;
use r2r_rcl::{
    RCL_RET_OK, rcl_serialized_message_t, rcutils_get_default_allocator, rcutils_get_error_string,
    rcutils_get_zero_initialized_uint8_array, rcutils_reset_error, rcutils_uint8_array_fini, rmw_deserialize, rmw_serialize,
    rosidl_message_type_support_t,
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::{CStr, c_void},
    ptr,
    sync::{Mutex, OnceLock, PoisonError},
};

/// How many types a program can have that were not compiled in: each is a Rust type of its own, see [`Foreign`].
pub(super) const SLOTS: usize = 64;

/// A C message of a type that only its package knows. Never made or looked into by Rust.
#[repr(C)]
pub(super) struct Opaque([u8; 0]);

/// Encapsulation and body of a message of the type in slot `N`, or why there is none. r2r wants serde; nobody makes use of that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Foreign<const N: usize>(pub(super) Result<Vec<u8>, String>);

/// rosidl's `rosidl_type_hash_t`.
#[repr(C)]
struct TypeHash {
    version: u8,
    value: [u8; 32],
}

type GetHandle = unsafe extern "C" fn() -> *const rosidl_message_type_support_t;
type Create = unsafe extern "C" fn() -> *mut Opaque;
type Destroy = unsafe extern "C" fn(*mut Opaque);
type GetHash = unsafe extern "C" fn(*const rosidl_message_type_support_t) -> *const TypeHash;

/// What an interface package brings for one of its types. Its libraries stay for the life of the program.
struct TypeSupport {
    name: String,
    /// `RIHS01_` and 64 hex digits; none before Iron.
    hash: Option<String>,
    handle: &'static rosidl_message_type_support_t,
    create: Create,
    destroy: Destroy,
}

// SAFETY: the handle is static data of a library that is never unloaded. What it points to is written to only when an RMW asks it for
// its own type support for the first time, which `load` has done, holding the lock, before anybody gets to see this value.
unsafe impl Send for TypeSupport {}
// SAFETY: as above; and rosidl's functions have no state.
unsafe impl Sync for TypeSupport {}

static LOADED: [OnceLock<TypeSupport>; SLOTS] = [const { OnceLock::new() }; SLOTS];
static LOADING: Mutex<()> = Mutex::new(());

/// The slot of a type, which is loaded unless it is there, and has this hash as far as hashes are known.
///
/// # Errors
/// [`Error::TypeSupport`] when its package is not installed or brings none, or the RMW cannot use it; [`Error::OtherDefinition`].
pub(super) fn load(type_name: &str, hash: &str) -> Result<usize> {
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    for (slot, place) in LOADED.iter().enumerate() {
        let there = match place.get() {
            Some(there) => there,
            None => {
                let opened = open(type_name)?;
                place.get_or_init(|| opened)
            }
        };
        if there.name == type_name {
            return match &there.hash {
                Some(installed) if installed != hash => {
                    Err(Error::OtherDefinition { type_name: type_name.into(), published: hash.into(), known: installed.clone() })
                }
                _ => Ok(slot),
            };
        }
    }
    Err(Error::Unsupported {
        operation: format!("another type that was not compiled in ({type_name} would be number {})", SLOTS + 1),
        stack: NAME,
        remedy: "use fewer of them in one program, or run a second node for the others",
    })
}

fn open(type_name: &str) -> Result<TypeSupport> {
    let Some((package, kind, ty)) = names::type_parts(type_name) else {
        return Err(Error::UnknownType { kind: "message", name: type_name.into(), hint: ": it is no name of a ROS type".into() });
    };
    let package = Package { name: package, type_name };
    let supports = package.library("rosidl_typesupport_c")?;
    let messages = package.library("rosidl_generator_c")?;
    let message = format!("{}__{kind}__{ty}", package.name);

    // SAFETY: rosidl gives these functions these signatures (message_type_support_decl.hpp, functions.h), with C structs of their own.
    let (get_handle, create, destroy, get_hash) = unsafe {
        (
            supports.symbol::<GetHandle>(&format!("rosidl_typesupport_c__get_message_type_support_handle__{message}"))?,
            messages.symbol::<Create>(&format!("{message}__create"))?,
            messages.symbol::<Destroy>(&format!("{message}__destroy"))?,
            messages.symbol::<GetHash>(&format!("{message}__get_type_hash")).ok(),
        )
    };
    // SAFETY: it takes nothing and returns a pointer to static data of its library, or null.
    let handle = unsafe { get_handle().as_ref() };
    let handle = handle.ok_or_else(|| supports.unusable("it gives no handle".to_owned()))?;
    // SAFETY: it looks at nothing but static data, its argument included; what it returns is such, or null.
    let hash = get_hash.and_then(|get| unsafe { get(handle).as_ref() }).map(TypeHash::text);
    let support = TypeSupport { name: type_name.into(), hash, handle, create, destroy };

    // The RMW takes its own type support out of the handle when it first meets it, which loads a further library: now, for the
    // reason to be told, and so that nothing is written to the handle any more.
    let message = support.message();
    let made = message.as_ref().ok_or_else(|| "no memory".to_owned()).and_then(|message| message.to_bytes());
    drop(message);
    made.map_err(|reason| supports.unusable(format!("the RMW cannot use it: {reason}")))?;
    Ok(support)
}

/// A package whose libraries are looked for.
#[derive(Clone, Copy)]
struct Package<'a> {
    name: &'a str,
    /// For whose sake.
    type_name: &'a str,
}

/// One of them.
struct Loaded<'a> {
    package: Package<'a>,
    path: String,
    library: &'static Library,
}

impl<'a> Package<'a> {
    /// Loads `lib<package>__<kind>.so`: of the prefix that has the package, else as the loader finds it.
    fn library(self, kind: &str) -> Result<Loaded<'a>> {
        let file = libloading::library_filename(format!("{}__{kind}", self.name));
        let share = installed::share(&installed::prefixes(), self.name);
        let prefix = share.as_deref().and_then(|share| share.ancestors().nth(2));
        let path = prefix.map(|prefix| prefix.join("lib").join(&file)).filter(|path| path.is_file());
        let path = path.unwrap_or_else(|| file.into());
        // SAFETY: what it runs when loaded is the initialisation of an interface package's library, which is rosidl's and does
        // nothing. That the file of this name in the sourced workspace is such is what ROS's own programs rely on, too.
        let library = unsafe { Library::new(&path) };
        let path = path.display().to_string();
        match library {
            // Pointers into it are kept, so it must never be unloaded.
            Ok(library) => Ok(Loaded { package: self, path, library: Box::leak(Box::new(library)) }),
            Err(error) => Err(self.unusable(&path, error.to_string())),
        }
    }

    fn unusable(self, library: &str, reason: String) -> Error {
        Error::TypeSupport { type_name: self.type_name.into(), library: library.into(), reason }
    }
}

impl Loaded<'_> {
    /// # Safety
    /// What has this name must be of this type.
    unsafe fn symbol<F: Copy>(&self, name: &str) -> Result<F> {
        // SAFETY: the caller's word; and the library stays.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        symbol.map(|symbol| *symbol).map_err(|error| self.unusable(error.to_string()))
    }

    fn unusable(&self, reason: String) -> Error {
        self.package.unusable(&self.path, reason)
    }
}

impl TypeHash {
    fn text(&self) -> String {
        let digits: String = self.value.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("RIHS{:02}_{digits}", self.version)
    }
}

impl<const N: usize> Default for Foreign<N> {
    fn default() -> Self {
        Self(Err("it was never received".to_owned()))
    }
}

impl<const N: usize> Foreign<N> {
    #[expect(clippy::expect_used, reason = "only slots that `load` returned have endpoints, and they are never emptied")]
    fn support() -> &'static TypeSupport {
        LOADED.get(N).and_then(OnceLock::get).expect("a slot whose type was loaded")
    }

    /// The message that these octets are, encapsulation and body.
    pub(super) fn native(bytes: &[u8]) -> Result<r2r::NativeMsg<Self>, String> {
        let message = r2r::NativeMsg::<Self>::new();
        // SAFETY: r2r has just made it by `create_msg`, and it is nobody else's.
        unsafe { Self::support().fill(message.msg, bytes) }?;
        Ok(message)
    }
}

impl<const N: usize> r2r::WrappedTypesupport for Foreign<N> {
    type CStruct = Opaque;

    fn get_ts() -> &'static rosidl_message_type_support_t {
        Self::support().handle
    }

    fn create_msg() -> *mut Opaque {
        Self::support().create()
    }

    fn destroy_msg(message: *mut Opaque) {
        // SAFETY: r2r destroys what it had made by `create_msg`, once.
        unsafe { Self::support().destroy(message) };
    }

    fn from_native(message: &Opaque) -> Self {
        // SAFETY: r2r passes what it had made by `create_msg` and let rcl fill.
        Self(unsafe { Self::support().bytes_of(message) })
    }

    /// Leaves the defaults: r2r calls it to publish a value, which cannot fail, and this can; see [`Foreign::native`].
    fn copy_to_native(&self, _message: &mut Opaque) {}
}

impl TypeSupport {
    /// A message with the defaults of its type, or null; whoever has it gives it to [`destroy`](Self::destroy).
    fn create(&self) -> *mut Opaque {
        // SAFETY: it takes nothing.
        let message = unsafe { (self.create)() };
        // Comes back as a reference to nothing, see `bytes_of`.
        let _ = message.expose_provenance();
        message
    }

    /// Frees a message of [`create`](Self::create).
    ///
    /// # Safety
    /// It must be one, or null, and not be used again.
    unsafe fn destroy(&self, message: *mut Opaque) {
        // SAFETY: the caller's word; null is left alone.
        unsafe { (self.destroy)(message) };
    }

    fn message(&self) -> Option<Message<'_>> {
        let message = Message { support: self, message: self.create() };
        (!message.message.is_null()).then_some(message)
    }

    /// Encapsulation and body of a message.
    ///
    /// # Safety
    /// The message must be one of this type's [`create`](Self::create).
    unsafe fn bytes_of(&self, message: &Opaque) -> Result<Vec<u8>, String> {
        // The reference is to an empty struct, and may not be followed further; the pointer that it was made of may.
        let message: *const c_void = ptr::with_exposed_provenance(ptr::from_ref(message).addr());
        // SAFETY: it returns a struct of zeros and an allocator of functions.
        let (mut buffer, allocator) = unsafe { (rcutils_get_zero_initialized_uint8_array(), rcutils_get_default_allocator()) };
        buffer.allocator = allocator;
        // SAFETY: the message is of this type, the buffer empty and of an allocator, with which the RMW lets it grow.
        let outcome = told(unsafe { rmw_serialize(message, self.handle, &raw mut buffer) });
        let bytes = if buffer.buffer.is_null() {
            Vec::new()
        } else {
            // SAFETY: so many octets were written there.
            unsafe { std::slice::from_raw_parts(buffer.buffer, buffer.buffer_length) }.to_vec()
        };
        // SAFETY: it is the buffer from above, and not used again.
        unsafe { rcutils_uint8_array_fini(&raw mut buffer) };
        outcome.map(|()| bytes)
    }

    /// Reads encapsulation and body into a message.
    ///
    /// # Safety
    /// The message must be one of this type's [`create`](Self::create), and nobody else's meanwhile.
    unsafe fn fill(&self, message: *mut Opaque, bytes: &[u8]) -> Result<(), String> {
        if message.is_null() {
            return Err("no memory".to_owned());
        }
        let serialized = rcl_serialized_message_t {
            buffer: bytes.as_ptr().cast_mut(),
            buffer_length: bytes.len(),
            buffer_capacity: bytes.len(),
            // SAFETY: it takes nothing. Nothing is allocated by it: what is read does not grow.
            allocator: unsafe { rcutils_get_default_allocator() },
        };
        // SAFETY: the octets are only read, and the message is of this type.
        told(unsafe { rmw_deserialize(&raw const serialized, self.handle, message.cast()) })
    }
}

/// A message that frees itself.
struct Message<'a> {
    support: &'a TypeSupport,
    message: *mut Opaque,
}

impl Message<'_> {
    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        // SAFETY: it was made by this type's `create` and is not null.
        unsafe { self.support.bytes_of(&*self.message) }
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: it was made by this type's `create`, and nobody has it any more.
        unsafe { self.support.destroy(self.message) };
    }
}

/// What rcutils keeps of this thread's last error, which is then forgotten.
fn told(outcome: i32) -> Result<(), String> {
    if outcome == RCL_RET_OK.cast_signed() {
        return Ok(());
    }
    // SAFETY: it takes nothing and returns its own struct.
    let text = unsafe { rcutils_get_error_string() };
    // SAFETY: the struct is full of characters, of which one is the end.
    let reason = unsafe { CStr::from_ptr(text.str_.as_ptr()) }.to_string_lossy().into_owned();
    // SAFETY: it takes nothing.
    unsafe { rcutils_reset_error() };
    Err(reason)
}
