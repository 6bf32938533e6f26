import Glibc

/// The regular files below paths.
struct TreeWalk {
    private(set) var files: [String] = []
    private(set) var problems: [String] = []

    /// Adds a file, or what is below a directory. Links below it are not followed.
    mutating func add(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return note(path) }
        if status.st_mode & S_IFMT == S_IFDIR { addTree(path) } else { files.append(path) }
    }

    private mutating func addTree(_ path: String) {
        guard let directory = opendir(path) else { return note(path) }
        var found: [(name: String, kind: UInt8)] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { found.append((name, entry.pointee.d_type)) }
        }
        closedir(directory)
        let prefix = path.hasSuffix("/") ? path : path + "/"
        for (name, kind) in found.sorted(by: { $0.name < $1.name }) {
            switch Int(kind == 0 ? self.kind(prefix + name) : kind) {
            case Int(DT_DIR): addTree(prefix + name)
            case Int(DT_REG): files.append(prefix + name)
            default: break
            }
        }
    }

    /// Where the directory does not say it: of the file itself, not of what a link leads to.
    private func kind(_ path: String) -> UInt8 {
        var status = stat()
        guard lstat(path, &status) == 0 else { return 0 }
        return UInt8(truncatingIfNeeded: status.st_mode >> 12)
    }

    private mutating func note(_ path: String) {
        problems.append("\(path): \(String(cString: strerror(errno)))")
    }
}
