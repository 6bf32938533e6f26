import Glibc

/// What the header of an ELF file says about where it can run.
struct ELFFile: Equatable {
    /// Class, byte order and machine: two files fit together when these agree.
    struct Architecture: Equatable {
        /// EI_CLASS: 1 for 32 bits, 2 for 64.
        let wordClass: UInt8
        /// EI_DATA: 1 for little-endian, 2 for big-endian.
        let byteOrder: UInt8
        /// e_machine
        let machine: UInt16

        /// For messages: "64-bit x86-64".
        var text: String {
            let names: [UInt16: String] = [
                2: "SPARC", 3: "i386", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S/390",
                40: "ARM", 43: "SPARC V9", 62: "x86-64", 183: "AArch64", 243: "RISC-V",
                258: "LoongArch",
            ]
            let bits = wordClass == 1 ? "32-bit" : wordClass == 2 ? "64-bit" : "unknown class"
            let order = byteOrder == 2 ? " big-endian" : ""
            return "\(bits) \(names[machine] ?? "machine \(machine)")\(order)"
        }
    }

    let architecture: Architecture
    /// e_type: 2 executable, 3 shared object or position-independent executable.
    let type: UInt16
    /// The dynamic loader (PT_INTERP); nil in static programs and in libraries.
    let interpreter: ByteString?
    /// False when class or byte order kept the program headers from being read.
    let isComplete: Bool

    /// The kind of a file's beginning.
    enum Content: Equatable {
        case elf(ELFFile)
        /// "#!": the interpreter's path.
        case script(interpreter: ByteString)
        /// No NUL among the first bytes: execvp(3) would give it to the shell.
        case text
        /// "\u{7f}ELF" and then not what the format demands.
        case damaged
        /// Something else, which the kernel may know.
        case unknown
    }

    /// Reads the beginning of a file; the errno of a failure otherwise.
    static func content(of path: ByteString) throws(SystemError) -> Content {
        let descriptor = path.withCString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
        if descriptor < 0 { throw SystemError(code: errno) }
        defer { close(descriptor) }
        let start = try read(descriptor, at: 0, count: 256)
        if start.starts(with: [0x7f] + Array("ELF".utf8)) {
            guard let file = try ELFFile(start: start, descriptor: descriptor) else {
                return .damaged
            }
            return .elf(file)
        }
        if start.starts(with: "#!".utf8) {
            let line = start.dropFirst(2).prefix { $0 != UInt8(ascii: "\n") && $0 != 0 }
            let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
            let path = line.drop(while: isBlank).prefix { !isBlank($0) }
            return .script(interpreter: ByteString(path))
        }
        return start.contains(0) ? .unknown : .text
    }

    /// Up to `count` bytes at an offset; fewer at the end of the file.
    private static func read(
        _ descriptor: Int32, at offset: Int, count: Int
    ) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let length = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + filled, count - filled, offset + filled)
            }
            if length < 0 && errno == EINTR { continue }
            if length < 0 { throw SystemError(code: errno) }
            if length == 0 { break }
            filled += length
        }
        return Array(bytes[..<filled])
    }

    /// Nil when the file ends before its headers do.
    private init?(start: [UInt8], descriptor: Int32) throws(SystemError) {
        guard start.count >= 20 else { return nil }
        architecture = Architecture(
            wordClass: start[4], byteOrder: start[5],
            machine: start[5] == 2
                ? UInt16(start[18]) << 8 | UInt16(start[19])
                : UInt16(start[19]) << 8 | UInt16(start[18]))
        type = UInt16(start[17]) << 8 | UInt16(start[16])
        // Program headers matter only where the library could be loaded at all.
        guard start[4] == 2 && start[5] == 1 else {
            interpreter = nil
            isComplete = false
            return
        }
        guard start.count >= 64 else { return nil }
        interpreter = try Self.interpreter(start: start, descriptor: descriptor)
        isComplete = true
    }

    /// Looks for PT_INTERP. Every number comes from the file: all are bounded before use.
    private static func interpreter(
        start: [UInt8], descriptor: Int32
    ) throws(SystemError) -> ByteString? {
        let tableOffset = start.number(at: 32, bytes: 8)
        let entryBytes = Int(start.number(at: 54, bytes: 2))
        let entries = Int(start.number(at: 56, bytes: 2))
        guard entryBytes == 56, let offset = Int(exactly: tableOffset), offset <= Int.max >> 2
        else {
            return nil
        }
        let table = try read(descriptor, at: offset, count: entryBytes * entries)
        for entry in stride(from: 0, to: table.count - entryBytes + 1, by: entryBytes) {
            // PT_INTERP is 3; then p_offset at 8 and p_filesz at 32.
            guard table.number(at: entry, bytes: 4) == 3 else { continue }
            guard let start = Int(exactly: table.number(at: entry + 8, bytes: 8)),
                start <= Int.max >> 2
            else { return nil }
            let length = min(table.number(at: entry + 32, bytes: 8), 4096)
            let path = try read(descriptor, at: start, count: Int(length))
            return ByteString(path.prefix { $0 != 0 })
        }
        return nil
    }
}

/// An error number of a system call.
struct SystemError: Error {
    let code: Int32
}

extension [UInt8] {
    /// A little-endian number; the caller has checked that it is inside.
    fileprivate func number(at offset: Int, bytes: Int) -> UInt64 {
        (0..<bytes).reduce(0) { $0 | UInt64(self[offset + $1]) << UInt64(8 * $1) }
    }
}
