import Glibc
import IOTrapStats

/// One line of /proc/self/mountinfo; see proc(5).
struct PoolMount: Equatable {
    let number: Int
    let point: ByteString
    let fileSystem: String
    let source: String
    let isReadOnly: Bool

    /// Nil for a line that is not of that form.
    init?(_ line: some Collection<UInt8>) {
        let fields = line.split(separator: 0x20).map { Self.unescaped($0) }
        guard let dash = fields.firstIndex(of: Array("-".utf8)), dash >= 6,
            fields.count > dash + 3, let number = Int(ByteString(fields[0]).text)
        else { return nil }
        self.number = number
        point = ByteString(fields[4])
        fileSystem = ByteString(fields[dash + 1]).text
        source = ByteString(fields[dash + 2]).text
        // Of the mount, and of the file system behind it.
        isReadOnly = [fields[5], fields[dash + 3]].contains {
            $0.split(separator: 0x2c).contains { $0.elementsEqual("ro".utf8) }
        }
    }

    /// Blanks, line ends and backslashes stand there as a backslash and three octal digits.
    private static func unescaped(_ field: some Collection<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = Array(field)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == 0x5c, digits.count == 3, digits.allSatisfy({ (0x30...0x37).contains($0) }) {
                bytes.append(digits.reduce(0) { $0 &* 8 &+ ($1 - 0x30) })
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }
}

/// The mounts that this process sees, and what a path leads to by them.
struct PoolMounts {
    /// Later ones lie over earlier ones.
    let mounts: [PoolMount]

    /// - Parameter text: what /proc/self/mountinfo holds.
    init(_ text: [UInt8]) {
        mounts = text.split(separator: 0x0a).compactMap { PoolMount($0) }
    }

    /// The mounts of this process; nil where /proc tells nothing.
    static func ofProcess() -> PoolMounts? {
        guard let text = smallFile("/proc/self/mountinfo", limit: 64 << 20) else { return nil }
        let mounts = PoolMounts(text)
        return mounts.mounts.isEmpty ? nil : mounts
    }

    /// What is at a path.
    enum Place: Equatable {
        case directory(PoolMount)
        /// The errno for it.
        case unreachable(Int32)
    }

    /// Follows a path. The root of a mount is believed to be a directory and never looked at: a
    /// server that does not answer would keep this process for ever.
    ///
    /// - Parameter path: absolute.
    func place(of path: ByteString) -> Place {
        var rest = path.bytes.split(separator: 0x2f).map(Array.init)[...]
        var reached: [UInt8] = []
        var links = 0
        while let name = rest.popFirst() {
            if name == Array(".".utf8) { continue }
            if name == Array("..".utf8) {
                reached = Array(reached[..<(reached.lastIndex(of: 0x2f) ?? 0)])
                continue
            }
            let next = reached + [0x2f] + name
            if mounts.contains(where: { $0.point.bytes == next }) {
                reached = next
                continue
            }
            switch Self.look(at: ByteString(next)) {
            case .failure(let error): return .unreachable(error.code)
            case .success(nil): reached = next
            case .success(let target?):
                links += 1
                // As the kernel has it (MAXSYMLINKS).
                if links > 40 { return .unreachable(ELOOP) }
                if target.bytes.first == 0x2f { reached = [] }
                rest = target.bytes.split(separator: 0x2f).map(Array.init)[...] + rest
            }
        }
        return mount(holding: reached).map { .directory($0) } ?? .unreachable(ENOENT)
    }

    /// The mount that a path without symbolic links lies in.
    private func mount(holding path: [UInt8]) -> PoolMount? {
        var best: PoolMount?
        for mount in mounts {
            let point = mount.point.bytes == [0x2f] ? [] : mount.point.bytes
            let holds =
                path.starts(with: point) && (path.count == point.count || path[point.count] == 0x2f)
            let length = best.map { $0.point.bytes.count } ?? 0
            if holds && mount.point.bytes.count >= length { best = mount }
        }
        return best
    }

    /// The target of a symbolic link, nil for a directory.
    private static func look(at path: ByteString) -> Result<ByteString?, SystemError> {
        path.withCString { path in
            var status = stat()
            if lstat(path, &status) != 0 { return .failure(SystemError(code: errno)) }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: return .success(nil)
            case S_IFLNK:
                var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
                let count = readlink(path, &buffer, buffer.count)
                if count < 0 { return .failure(SystemError(code: errno)) }
                return .success(ByteString(buffer[..<count].map(UInt8.init(bitPattern:))))
            default: return .failure(SystemError(code: ENOTDIR))
            }
        }
    }
}
