import Glibc
import IOTrapStats

/// Files that hold results of replays.
enum ReplayResults {
    /// Bytes of such a file, at most.
    private static let limit = 64 << 20

    /// The content of a file that `iotrap replay` or `iotrap compare --merge` wrote.
    static func read(_ path: String) throws(ReplayError) -> JSONReader.Value {
        guard let bytes = smallFile(path, limit: limit) else {
            throw .system(path, "read", errno, remedy: "give a file that iotrap replay wrote")
        }
        guard let value = JSONReader.read(bytes), value["runs"]?.array != nil,
            value["iotrap_replay"]?.number == 1
        else {
            throw ReplayError(
                "\(path): holds no results of a replay; give a file written by iotrap replay "
                    + "--json")
        }
        return value
    }
}
