// swift-tools-version: 6.2
// Programs that use IOTrap as any other package would: nothing here needs unsafe flags.
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error), .swiftLanguageMode(.v6)]
let iotrap: Target.Dependency = .product(name: "IOTrap", package: "iotrap")

let package = Package(
    name: "iotrap-examples",
    dependencies: [.package(name: "iotrap", path: "..")],
    targets: [
        .target(name: "WriteAheadLog", dependencies: [iotrap], swiftSettings: strict),
        .executableTarget(
            name: "wal", dependencies: ["WriteAheadLog", iotrap], swiftSettings: strict),
        .executableTarget(name: "restore", dependencies: [iotrap], swiftSettings: strict),
        .executableTarget(name: "tutorial", dependencies: [iotrap], swiftSettings: strict),
        .systemLibrary(
            name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .executableTarget(
            name: "checksum", dependencies: ["COpenSSL", iotrap], swiftSettings: strict),
    ]
)
