/// What a descriptor is, as far as the engine knows.
enum DescriptorKind: UInt8 {
    /// Nothing known: classify at the next use.
    case unknown = 0
    /// Opened without O_DIRECT, taken for a page-cache file until a sampled call checks.
    case openedBuffered
    /// A regular file through the page cache.
    case buffered
    /// A regular file with O_DIRECT.
    case direct
    /// Pipe, socket, terminal, device, directory, O_PATH.
    case notRegular
    /// The engine's own (a ring where the kernel needs a descriptor for it).
    case engine
    /// A file of a mount pool, which its record tells more of.
    case pooled
}

/// One entry of the descriptor table, a single word so that it can be read and written whole.
///
/// A slot is a *hint*. Descriptors change hands in ways nobody can see (libc's internal close, a
/// vfork child, another process setting flags on a shared description), so every decision with a
/// consequence checks with the kernel first; a wrong slot costs time, never data.
struct Slot: Equatable {
    var word: UInt64

    /// Bits 0-2 kind, 3 append, 4 may be read, 5 O_DIRECT, 16-31 file record + 1, 32-63 that
    /// record's generation.
    ///
    /// - Parameter flags: status flags of the open file description.
    init(
        kind: DescriptorKind, flags: UInt32 = 0, file: UInt32 = 0, generation: UInt32 = 0
    ) {
        let access = flags & OpenFlags.accessMask
        word =
            UInt64(kind.rawValue) | (flags & OpenFlags.append != 0 ? 1 << 3 : 0)
            | (access == 0 || access == OpenFlags.readWrite ? 1 << 4 : 0)
            | (flags & OpenFlags.direct != 0 ? 1 << 5 : 0) | UInt64(file) << 16
            | UInt64(generation) << 32
    }

    @inline(__always)
    init(word: UInt64) { self.word = word }

    @inline(__always)
    var kind: DescriptorKind {
        DescriptorKind(rawValue: UInt8(truncatingIfNeeded: word) & 7) ?? .unknown
    }

    @inline(__always)
    var appends: Bool { word & (1 << 3) != 0 }

    /// True when the access mode lets it be read.
    @inline(__always)
    var mayRead: Bool { word & (1 << 4) != 0 }

    /// True when it was opened with O_DIRECT.
    @inline(__always)
    var isDirect: Bool { word & (1 << 5) != 0 }

    /// Index of the file record + 1, of a pool's file where it is one; 0: none yet.
    var file: UInt32 { UInt32(truncatingIfNeeded: word >> 16) & 0xffff }

    var generation: UInt32 { UInt32(truncatingIfNeeded: word >> 32) }
}
