import Glibc

/// UTIME_OMIT of utimensat(2): leaves that time as it is.
private let utimeOmit = (1 << 30) - 2

/// What is refused, and why.
struct Refusal: Error, CustomStringConvertible {
    let description: String
}

/// The directory that is unpacked into. Nothing outside of it is touched, whatever the archive
/// says: names are taken apart, ".." is refused, and no part of a path may be a link.
struct TargetTree {
    private let root: String
    /// Directories that are known to be there, and no links.
    private var known: Set<String> = [""]

    init(_ root: String) { self.root = root }

    /// The path below the root for a name of the archive; nil for the root itself.
    func relative(_ name: String) throws(Refusal) -> String? {
        guard !name.utf8.contains(0) else { throw Refusal(description: "a name with a zero byte") }
        let parts = name.split(separator: "/").filter { $0 != "." }
        guard !parts.contains("..") else {
            throw Refusal(description: "\(name): leads out of the directory with '..'")
        }
        return parts.isEmpty ? nil : parts.joined(separator: "/")
    }

    func absolute(_ relative: String) -> String { root + "/" + relative }

    /// Makes the directories above a path.
    mutating func makeParents(of relative: String) throws(Refusal) {
        guard let slash = relative.lastIndex(of: "/") else { return }
        try makeDirectory(String(relative[..<slash]))
    }

    /// Makes a directory and those above.
    mutating func makeDirectory(_ relative: String) throws(Refusal) {
        if known.contains(relative) { return }
        try makeParents(of: relative)
        let path = absolute(relative)
        if mkdir(path, 0o777) != 0 {
            guard errno == EEXIST else { throw failure("make directory", path) }
            var status = stat()
            guard lstat(path, &status) == 0 else { throw failure("look at", path) }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw Refusal(
                    description: "\(path) is there and no directory: move it out of the way")
            }
        }
        known.insert(relative)
    }

    /// Removes what is where a file is to be; directories stay, and make it fail.
    func makeWay(for relative: String) throws(Refusal) {
        let path = absolute(relative)
        guard unlink(path) != 0, errno != ENOENT else { return }
        throw failure("replace", path)
    }

    func makeLink(_ relative: String, to target: String) throws(Refusal) {
        try makeWay(for: relative)
        guard symlink(target, absolute(relative)) == 0 else {
            throw failure("link", absolute(relative))
        }
    }

    func makeHardLink(_ relative: String, to target: String) throws(Refusal) {
        try makeWay(for: relative)
        guard link(absolute(target), absolute(relative)) == 0 else {
            throw failure("link", absolute(relative))
        }
    }

    /// Of a path, without following a link.
    static func setTime(_ path: String, _ seconds: Int64) throws(Refusal) {
        let times = [
            timespec(tv_sec: 0, tv_nsec: utimeOmit), timespec(tv_sec: Int(seconds), tv_nsec: 0),
        ]
        guard utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw failure("set the time of", path)
        }
    }

    static func failure(_ what: String, _ path: String) -> Refusal {
        Refusal(description: "cannot \(what) \(path): \(String(cString: strerror(errno)))")
    }

    private func failure(_ what: String, _ path: String) -> Refusal { Self.failure(what, path) }
}
