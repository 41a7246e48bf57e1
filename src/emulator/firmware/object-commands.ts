import type { Struct } from '../../prm/codec'
import type { Handler } from './firmware'
import { Refusal, Status } from './refusal'
import { numberOf } from './values'

/** Commands that make and unmake objects. */
export const objectCommands: Readonly<Record<string, Handler>> = {
  ALLOC_PD: ({ objects }, { uid }) => ({ pd: objects.create(uid, 'pd') }),
  DEALLOC_PD: ({ objects }, { uid, values }) => done(objects.destroy(uid, 'pd', numberOf(values, 'pd'))),
  ALLOC_UAR: ({ objects }, { uid }) => ({ uar: objects.create(uid, 'uar') }),
  DEALLOC_UAR: ({ objects }, { uid, values }) => done(objects.destroy(uid, 'uar', numberOf(values, 'uar'))),
  ALLOC_TRANSPORT_DOMAIN: ({ objects }, { uid }) => ({ transport_domain: objects.create(uid, 'transportDomain') }),
  DEALLOC_TRANSPORT_DOMAIN: ({ objects }, { uid, values }) =>
    done(objects.destroy(uid, 'transportDomain', numberOf(values, 'transport_domain'))),
  ALLOC_Q_COUNTER: ({ objects }, { uid }) => ({ counter_set_id: objects.create(uid, 'counter') & 0xff }),
  DEALLOC_Q_COUNTER: ({ objects }, { uid, values }) =>
    done(objects.destroy(uid, 'counter', numberOf(values, 'counter_set_id'))),
  CREATE_MKEY: ({ objects }, { uid, values }) => {
    const context = values.memory_key_mkey_entry as Struct
    if (numberOf(context, 'access_mode_1_0') !== 1) throw new Refusal(Status.BAD_PARAM, 'access_mode')
    const umem = numberOf(values, 'mkey_umem_valid') === 1 ? numberOf(values, 'mkey_umem_id') : undefined
    const start = context.start_addr as bigint
    const length = context.len as bigint
    return { mkey_index: objects.createMkey(uid, { pd: numberOf(context, 'pd'), umem, start, length }) }
  },
  DESTROY_MKEY: ({ objects }, { uid, values }) => done(objects.destroyMkey(uid, numberOf(values, 'mkey_index'))),
  QUERY_MKEY: ({ objects }, { values }) => {
    const { pd, start, length } = objects.mkey(numberOf(values, 'mkey_index'))
    return {
      memory_key_mkey_entry: { access_mode_1_0: 1, lr: 1, lw: 1, qpn: 0xffffff, pd, start_addr: start, len: length },
    }
  },
}

/** Nothing to give back but the status. */
function done(result: undefined): Struct {
  return result ?? {}
}
