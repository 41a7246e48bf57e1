/** The library: open a device by any of its names, run commands by name, decode bytes by layout. */
import { Device, type DeviceOptions } from './device/device'
import { openCatalogue } from './prm/catalogue'
import { Codec } from './prm/codec'
import { openTransport, type OpenOptions } from './transport/open'

/**
 * Opens a device: a node, a PCI address, an RDMA or network name, emu:PROFILE, replay:FILE.
 * @example
 * const device = await open('emu:connectx6dx')
 * const { values } = await device.command('QUERY_ISSI')
 * await device.close()
 * @throws OpenError
 */
export async function open(name: string, options: OpenOptions & DeviceOptions = {}): Promise<Device> {
  const catalogue = openCatalogue()
  const transport = await openTransport(name, options)
  return new Device(transport, catalogue, new Codec(catalogue), options)
}

export { compareBundles, type CompareOptions, type Comparison } from './bundle/compare'
export { diffBundles, isSame, type BundleDifference, type DiffOptions } from './bundle/diff'
export { factsOf, type Fact, type IndexFields } from './bundle/facts'
export type { BundleDevice, BundleItem, Manifest } from './bundle/manifest'
export { bundleLimits, openBundle, readBundle, readManifest, type BundleLimits, type OpenBundle } from './bundle/read'
export type { MixedField, OutlyingField, PopulationReport } from './bundle/report'
export { verifyBundle, type BundleProblem, type Verification } from './bundle/verify'
export { capabilityOpMod, queryCapabilities, type Capabilities } from './device/capabilities'
export { coreDump, coreDumpSize, type CoreDumpOptions, type CoreDumpSummary } from './device/core-dump'
export {
  changesOf,
  counterGroups,
  CounterReader,
  wantedGroups,
  type CounterChange,
  type CounterGroup,
  type CounterReading,
  type CounterScope,
  type CountersRead,
  type CounterValue,
  type RefusedCounters,
  type Unit,
  type ValueType,
  type WantedGroup,
} from './device/counters'
export { Device, type CommandEvent, type CommandResult, type DeviceOptions, type ExecuteOptions } from './device/device'
export {
  checkDiagnosticParameters,
  queryDiagnosticParameters,
  readDiagnosticCapabilities,
  setDiagnosticParameters,
  stopDiagnosticCounters,
  ticksToNanoseconds,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from './device/diagnostic-counters'
export { DiagnosticRing, recordAt, type DiagnosticRecord } from './device/diagnostic-ring'
export { withDiagnosticSampling, type DiagnosticSampling, type PutBack } from './device/diagnostic-sampling'
export {
  DiagnosticStream,
  type DiagnosticGap,
  type DiagnosticItem,
  type DiagnosticRound,
  type DiagnosticStreamOptions,
  type DiagnosticStreamSummary,
} from './device/diagnostic-stream'
export { FirmwareError, Interrupted, Unsupported, UsageError } from './device/errors'
export {
  type ActivationMethods,
  type ComponentCapabilities,
  type FirmwareComponent,
} from './device/firmware/components'
export { UpdateRefused } from './device/firmware/mcc'
export { HandleTaken } from './device/firmware/update-handle'
export { planUpdate, type Candidate, type PlanOptions, type Relation, type UpdatePlan } from './device/firmware/plan'
export { queryFirmware, type FirmwareInfo, type Rom, type SecurityInfo } from './device/firmware/query'
export {
  readResetSupport,
  requestReset,
  resetRequest,
  type ResetChoice,
  type ResetRequest,
  type ResetSupport,
} from './device/firmware/reset'
export { updateFirmware, type UpdateOptions, type UpdateSummary } from './device/firmware/update'
export { withFirmwareTracer, type RunningTrace, type TracerOptions } from './device/firmware-tracer'
export { deviceInfo, type DeviceInfo } from './device/info'
export { diffRegisters, type ChangedRegister, type RegisterDiff } from './device/register-diff'
export {
  blocksOf,
  pairsOf,
  planRegisterDump,
  registerDump,
  scanRegisters,
  type RegisterBlock,
  type RegisterDumpPlan,
} from './device/register-dump'
export { parseDump } from './device/register-dump-files'
export {
  checkedRequest,
  dumpResource,
  readMenu,
  withResourceDumper,
  type ResourceDumper,
  type ResourceDumpOptions,
  type ResourceDumpSummary,
} from './device/resource-dump'
export { readTraceStrings, tracerCapabilities, type TracerCapabilities } from './device/trace-strings'
export { withDeviceMemory, type DeviceMemory } from './device/registered-memory'
export { Catalogue, openCatalogue, type CatalogueFile } from './prm/catalogue'
export { Codec, type FieldRange, type Struct, type Value } from './prm/codec'
export { TraceDecoder, type TraceCounts, type TraceMessage } from './prm/firmware-trace/decoder'
export { storedRing, type RingPart, type StoredRing } from './prm/firmware-trace/ring'
export { StringsDatabase, type StringSection, type TraceParameters } from './prm/firmware-trace/strings'
export { parseStrings, stringsDocument, type StringsDocument } from './prm/firmware-trace/strings-file'
export { MalformedData, NameError, ValueError } from './prm/errors'
export { parseBytes, type InputBytes } from './prm/input-bytes'
export { importHeaders, type HeaderImport } from './prm/import/headers'
export type {
  CapabilityType,
  Command,
  CommandScope,
  DumpBlock,
  DumpTable,
  Enumeration,
  Field,
  Layout,
  Register,
  Scope,
} from './prm/layout'
export { decodeSegment, type DecodedSegment, type DumpArguments, type MenuRecord } from './prm/resource-segments'
export { SegmentReader, type Segment } from './prm/segments'
export {
  CrSpaceError,
  DeliveryError,
  OpenError,
  type CrSpace,
  type CrSpaceScan,
  type DeviceIdentity,
  type ExecuteRequest,
  type RegisteredMemory,
  type Transport,
  type UserContext,
} from './transport/contract'
export { listDevices, type DeviceEntry, type Door } from './transport/discover'
export { openTransport, type OpenOptions } from './transport/open'
export { recordTransport } from './transport/recording'
export { openReplay } from './transport/replay'
export { boardVersions, extractImage } from './prm/firmware-image/archive'
export { parseFirmware, parseImage } from './prm/firmware-image/firmware-file'
export { ForeignFile } from './prm/firmware-image/identify'
export { matchPsid, type PsidMatch } from './prm/firmware-image/psid'
export type {
  ArchiveBoard,
  ArchiveImage,
  DeviceData,
  FirmwareArchive,
  FirmwareFile,
  FirmwareImage,
  ImageFormat,
  ImageInfo,
  ImageProblem,
  ImageSection,
  RomVersion,
  SectionCrc,
} from './prm/firmware-image/types'
export {
  compareVersions,
  formatRomVersion,
  formatVersion,
  parseVersion,
  versionChange,
  type FirmwareVersion,
  type VersionChange,
} from './prm/firmware-image/version'
