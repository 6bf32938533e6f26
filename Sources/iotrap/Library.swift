import Glibc

/// The library that goes before the program, as it was found on disk.
struct Library {
    static let preloadName = "libiotrap-preload.so"
    static let plainName = "libiotrap.so"

    let path: ByteString
    let architecture: ELFFile.Architecture

    /// Finds the library beside this command and checks that it can be preloaded.
    static func find() throws(CommandFailure) -> Library {
        let places = try candidates(preloadName)
        guard let path = places.first(where: exists) else {
            throw .usage(
                "\(preloadName) is missing: looked for "
                    + places.map(\.text).joined(separator: ", ")
                    + "; install it beside the command, or run make")
        }
        return try check(path)
    }

    /// Where a library may be, the likeliest place first: ../lib as built and installed, a folder
    /// of its own below, and the command's directory.
    static func candidates(_ name: String) throws(CommandFailure) -> [ByteString] {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        guard length > 0 && length < buffer.count else {
            throw .usage(
                "cannot tell where this command is: /proc/self/exe: "
                    + Diagnostics.errorText(errno) + "; mount /proc")
        }
        let own = buffer[..<length].map { UInt8(bitPattern: $0) }
        let slash = own.lastIndex(of: UInt8(ascii: "/")) ?? 0
        let directory = ByteString(own[..<slash])
        let above = directory.bytes.lastIndex(of: UInt8(ascii: "/")) ?? 0
        let parent = ByteString(directory.bytes[..<above])
        return [
            parent + "/lib/\(name)", parent + "/lib/iotrap/\(name)", directory + "/\(name)",
        ]
    }

    static func exists(_ path: ByteString) -> Bool {
        path.withCString { access($0, F_OK) } == 0
    }

    /// The architecture of this command.
    static func ownArchitecture() -> ELFFile.Architecture? {
        guard case .elf(let file)? = try? ELFFile.content(of: ByteString("/proc/self/exe")) else {
            return nil
        }
        return file.architecture
    }

    private static func check(_ path: ByteString) throws(CommandFailure) -> Library {
        let content: ELFFile.Content
        do throws(SystemError) {
            content = try ELFFile.content(of: path)
        } catch {
            throw .usage(
                "\(path.text): cannot be read: \(Diagnostics.errorText(error.code)); "
                    + "check its permissions")
        }
        guard case .elf(let file) = content, file.type == 3 else {
            throw .usage("\(path.text): is not a shared library; install iotrap again")
        }
        if let own = ownArchitecture(), file.architecture != own {
            throw .usage(
                "\(path.text): is built for \(file.architecture.text), this command for "
                    + "\(own.text); install the same package of both")
        }
        // The dynamic loader takes these as the ends of the name, and dollars as its variables.
        for character in [" ", ":", "$"] as [Character] where path.contains(character) {
            throw .usage(
                "\(path.text): the loader cannot preload from a path with '\(character)' in it; "
                    + "move iotrap elsewhere")
        }
        return Library(path: path, architecture: file.architecture)
    }

    /// The value for LD_PRELOAD: this library before what the user already has there.
    func preload(before existing: ByteString?) -> ByteString {
        guard let existing, !existing.isEmpty else { return path }
        let parts = existing.bytes.split { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: " ") }
        if parts.contains(where: { ByteString($0) == path }) { return existing }
        return path + ":" + existing
    }
}
