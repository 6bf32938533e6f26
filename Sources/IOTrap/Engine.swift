import CIOTrap
import CIOTrapEngine
import IOTrapEngine
import Glibc

/// The engine under the library: mount pools, and the techniques of the environment's settings.
enum Engine {
    /// Starts it, once in a process, as `IOTRAP_MODE`, `IOTRAP_SET` and `IOTRAP_MOUNT_POOLS` say.
    static func start() { _ = started }

    private static let started: Bool = {
        iotrap_start(environ, iotrap_is_secure())
        #if DEBUG
            iotrap_set_strict(1)
        #endif
        return true
    }()
}
