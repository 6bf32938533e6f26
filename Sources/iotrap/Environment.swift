import Glibc

/// The environment that the program will get: the user's, with a few variables changed.
struct Environment {
    /// Entries "NAME=value" in their order.
    private(set) var entries: [ByteString]

    /// The environment of this process.
    static func ofProcess() -> Environment {
        var entries: [ByteString] = []
        var next = environ
        while let entry = next.pointee {
            entries.append(ByteString(cString: entry))
            next += 1
        }
        return Environment(entries: entries)
    }

    /// The value of a variable, the first one if it is there twice, as getenv(3) has it.
    subscript(name: String) -> ByteString? {
        let prefix = ByteString(name + "=").bytes
        guard let entry = entries.first(where: { $0.bytes.starts(with: prefix) }) else {
            return nil
        }
        return ByteString(entry.bytes[prefix.count...])
    }

    /// Replaces a variable in its place, or appends it.
    mutating func set(_ name: String, _ value: ByteString) {
        let prefix = ByteString(name + "=")
        let index = entries.firstIndex { $0.bytes.starts(with: prefix.bytes) }
        if let index {
            entries[index] = prefix + value
        } else {
            entries.append(prefix + value)
        }
    }
}
