import CZstd

/// How the payload of a chunk is stored.
public enum TraceCodec: UInt8, Sendable {
    /// As it is.
    case raw = 0
    /// Compressed by Zstandard. The bytes depend on the version of libzstd.
    case zstd = 1
}

/// Compresses payloads, one after the other.
struct Compressor: ~Copyable {
    private let context: OpaquePointer?
    /// Fast: a trace is mostly read once.
    private static let level: Int32 = 1

    init() {
        context = ZSTD_createCCtx()
    }

    deinit {
        ZSTD_freeCCtx(context)
    }

    /// Compresses into `output`; nil when that would save nothing.
    func compress(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        guard let context else { return nil }
        let count = ZSTD_compressCCtx(
            context, output.baseAddress, output.count, input.baseAddress, input.count, Self.level)
        return ZSTD_isError(count) != 0 || count >= input.count ? nil : count
    }
}

/// Decompresses payloads, one after the other.
struct Decompressor: ~Copyable {
    private let context: OpaquePointer?

    init() {
        context = ZSTD_createDCtx()
    }

    deinit {
        ZSTD_freeDCtx(context)
    }

    /// Decompresses one frame that must fill `output`, and never writes beyond it.
    func decompress(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(TraceFault) {
        guard let context else { throw TraceFault(reason: .compression("no memory")) }
        let count = ZSTD_decompressDCtx(
            context, output.baseAddress, output.count, input.baseAddress, input.count)
        if ZSTD_isError(count) != 0 {
            throw TraceFault(reason: .compression(String(cString: ZSTD_getErrorName(count))))
        }
        if count != output.count {
            throw TraceFault(reason: .compression("\(count) bytes, not \(output.count)"))
        }
    }
}
