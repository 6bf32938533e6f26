import Glibc

/// The bytes of an argument, a path or a variable. They need not be UTF-8, and a program must get
/// exactly what the user wrote, so they become text for messages only.
struct ByteString: Equatable {
    /// Without a NUL, which no argument can hold.
    var bytes: [UInt8]

    init(_ bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes)
    }

    init(_ text: String) {
        bytes = Array(text.utf8)
    }

    init(cString: UnsafePointer<CChar>) {
        bytes = UnsafeBufferPointer(start: cString, count: strlen(cString))
            .map { UInt8(bitPattern: $0) }
    }

    /// For messages: what is no UTF-8 is replaced.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    var isEmpty: Bool { bytes.isEmpty }

    /// Calls `body` with the bytes and a NUL behind them.
    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        let terminated = bytes.map { CChar(bitPattern: $0) } + [0]
        return terminated.withUnsafeBufferPointer { body($0.baseAddress!) }
    }

    /// What stands before and behind the first occurrence of a byte, nil without one.
    func split(at separator: Character) -> (ByteString, ByteString)? {
        guard let code = separator.asciiValue, let index = bytes.firstIndex(of: code) else {
            return nil
        }
        return (ByteString(bytes[..<index]), ByteString(bytes[(index + 1)...]))
    }

    func contains(_ character: Character) -> Bool {
        character.asciiValue.map { bytes.contains($0) } ?? false
    }

    static func + (a: ByteString, b: ByteString) -> ByteString { ByteString(a.bytes + b.bytes) }
    static func + (a: ByteString, b: String) -> ByteString { ByteString(a.bytes + b.utf8) }
}

/// The command's arguments.
enum CommandArguments {
    /// The arguments after the command's own name, byte for byte.
    static func ofProcess() -> [ByteString] {
        (1..<max(1, Int(CommandLine.argc))).compactMap { index in
            CommandLine.unsafeArgv[index].map { ByteString(cString: $0) }
        }
    }
}

/// Calls `body` with a NULL-terminated array of C strings, as execve(2) wants them.
func withCStringArray<Result>(
    _ strings: [ByteString], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let copies = strings.map { string in string.withCString { strdup($0) } }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}

extension ByteString: ExpressibleByStringLiteral {
    init(stringLiteral text: String) { self.init(text) }
}
