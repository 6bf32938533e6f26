import COpenSSL
import IOTrap

/// The SHA-256 of one file.
enum FileHash {
    /// Files up to this size are read in one operation.
    private static let smallBytes = 1 << 17

    /// The sum in hexadecimal digits.
    static func of(_ path: String) async throws(IOError) -> String {
        var hash = SHA256()
        var buffer = IOBuffer(capacity: smallBytes)
        let count = try await IOFile.read(contentsOf: path, into: &buffer)
        if count < buffer.capacity {
            hash.update(buffer.bytes)
            return hash.finish()
        }
        let file = try await IOFile.open(path)
        for try await block in try file.blocks() { hash.update(block.bytes) }
        return hash.finish()
    }
}

/// OpenSSL's.
struct SHA256: ~Copyable {
    private let context = EVP_MD_CTX_new()

    init() { EVP_DigestInit_ex(context, EVP_sha256(), nil) }

    deinit { EVP_MD_CTX_free(context) }

    mutating func update(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { _ = EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    }

    consuming func finish() -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { sum in
            EVP_DigestFinal_ex(context, sum.baseAddress, nil)
            let digits = Array("0123456789abcdef".utf8)
            return String(
                decoding: sum.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
                as: UTF8.self)
        }
    }
}
