import { applySupplement } from '../../src/prm/import/supplement'
import { importHeaders } from '../../src/prm/import/headers'
import type { Layout } from '../../src/prm/layout'

function layoutsOf(text: string): Map<string, Layout> {
  const { entries, problems } = importHeaders([{ name: 'test.h', text }])
  expect(problems).toEqual([])
  return new Map(entries.layouts.map((layout) => [layout.name, layout]))
}

const rows = (layout: Layout | undefined): unknown[] =>
  (layout?.fields ?? []).map(({ name, offset, width, array, layout: of }) => [name, offset, width, array?.count, of])

test('sizes are expressions over defines and enum constants, in any order', () => {
  const layouts = layoutsOf(`
    struct mlx5_ifc_a_bits { u8 x[COUNT][0x8]; u8\ty[BIT(3)]; u8 z[LAST << 1]; };
    #define COUNT (ONE + \\
                   TWO)
    #define ONE 1
    enum { FIRST = 3, TWO, LAST = TWO * 2 };`)
  expect(rows(layouts.get('a'))).toEqual([
    ['x', 0, 8, 5, undefined],
    ['y', 40, 8, undefined, undefined],
    ['z', 48, 16, undefined, undefined],
  ])
})

test('anonymous and named inline aggregates', () => {
  const layouts = layoutsOf(`
    struct mlx5_ifc_b_bits {
      u8 head[0x20];
      union { u8 all[0x40]; struct { u8 left[0x20]; u8 right[0x20]; }; };
      struct { u8 own[0x10]; u8 reserved_at_70[0x10]; } named;
    };`)
  expect(rows(layouts.get('b'))).toEqual([
    ['head', 0, 32, undefined, undefined],
    ['', 32, 64, undefined, 'b.@1'],
    ['named', 96, 32, undefined, 'b.named'],
  ])
  expect(layouts.get('b.@1')?.kind).toBe('union')
  expect(rows(layouts.get('b.@1.@1'))).toEqual([
    ['left', 0, 32, undefined, undefined],
    ['right', 32, 32, undefined, undefined],
  ])
})

test('open ends: [], [0], two-dimensional, DECLARE_FLEX_ARRAY, and inside another structure', () => {
  const layouts = layoutsOf(`
    struct mlx5_ifc_elem_bits { u8 v[0x20]; };
    struct mlx5_ifc_tail_bits { u8 n[0x20]; u8 pas[][0x40]; };
    struct mlx5_ifc_zero_bits { u8 n[0x20]; u8 pas[0][0x40]; };
    struct mlx5_ifc_flex_bits { u8 n[0x20]; union { DECLARE_FLEX_ARRAY(struct mlx5_ifc_elem_bits, one); DECLARE_FLEX_ARRAY(struct mlx5_ifc_elem_bits, two); }; };
    struct mlx5_ifc_holder_bits { struct mlx5_ifc_tail_bits t; u8 after[0x20]; };`)
  expect(layouts.get('tail')?.bits).toBe(32)
  expect(rows(layouts.get('tail'))[1]).toEqual(['pas', 32, 64, null, undefined])
  expect(rows(layouts.get('zero'))[1]).toEqual(['pas', 32, 64, null, undefined])
  expect(rows(layouts.get('flex.@1'))).toEqual([
    ['one', 0, 32, null, 'elem'],
    ['two', 0, 32, null, 'elem'],
  ])
  expect(rows(layouts.get('holder'))[1]).toEqual(['after', 32, 32, undefined, undefined])
})

test('comments, members over two lines, names without _bits, sizes that are no dwords', () => {
  const layouts = layoutsOf(`
    struct mlx5_ifc_calc_op { /* struct mlx5_ifc_ghost_bits { u8 x[1]; }; */ u8 add[0x1]; // last[0x1];
      struct
        mlx5_ifc_half_bits
        half; };
    struct      mlx5_ifc_half_bits { u8 resereved_at_0[0xf]; u8 x[0x1]; };`)
  expect(layouts.get('calc_op')?.bits).toBe(17)
  expect(layouts.has('ghost')).toBe(false)
})

test('what cannot be is left out and told with its line; the rest stays', () => {
  const { entries, problems } = importHeaders([
    {
      name: 'bad.h',
      text: `struct mlx5_ifc_good_bits { u8 x[0x20]; };
struct mlx5_ifc_self_bits { struct mlx5_ifc_self_bits s; };
struct mlx5_ifc_huge_bits { u8 x[0xffffffff]; };
struct mlx5_ifc_lost_bits { struct mlx5_ifc_nowhere_bits s; };
#define LOOP LOOP + 1
struct mlx5_ifc_loop_bits { u8 x[LOOP]; };`,
    },
  ])
  expect(entries.layouts.map((layout) => layout.name)).toEqual(['good'])
  expect(problems.map(({ line }) => line)).toEqual([2, 3, 4, 6])
})

test('opcodes pair with their layouts, scopes and names come from the supplement', () => {
  const { entries } = importHeaders([
    {
      name: 'ops.h',
      text: `enum { MLX5_CMD_OP_QUERY_HCA_CAP = 0x100, MLX5_CMD_OP_2RST_QP = 0x50a, MLX5_CMD_OPCODE_QUERY_VUID = 0xb22, MLX5_CMD_OP_MAX };
enum { MLX5_QPC_STATE_RST = 0, MLX5_QPC_STATE_ERR = 6 };
struct mlx5_ifc_query_hca_cap_in_bits { u8 opcode[0x10]; u8 uid[0x10]; u8 reserved_at_20[0x60]; };
struct mlx5_ifc_query_hca_cap_out_bits { u8 status[0x8]; u8 reserved_at_8[0x78]; };
struct mlx5_ifc_qpc_bits { u8 state[0x4]; u8 st[0x1c]; };`,
    },
  ])
  expect(entries.commands.map(({ name, opcode, inbox }) => [name, opcode, inbox])).toEqual([
    ['QUERY_HCA_CAP', 0x100, 'query_hca_cap_in'],
    ['2RST_QP', 0x50a, undefined],
    ['QUERY_VUID', 0xb22, undefined],
  ])
  const field = entries.layouts.find(({ name }) => name === 'qpc')?.fields[0]
  expect(field?.enum).toBe('mlx5_qpc_state')
  const merged = applySupplement(entries, '{"command":"2RST_QP","in":"qpc","scope":1,"source":"test"}\n', 's.jsonl')
  expect(merged.commands[1]).toEqual({ name: '2RST_QP', opcode: 0x50a, inbox: 'qpc', scope: 1 })
  const more = applySupplement(entries, '{"command":"QUERY_RDB","opcode":1298,"scope":1,"source":"test"}\n', 's.jsonl')
  expect(more.enumerations.find(({ name }) => name === 'opcode')?.values).toMatchObject({
    '2RST_QP': 0x50a,
    QUERY_RDB: 0x512,
  })
  expect(() => applySupplement(entries, '{"command":"X","opcode":1}', 's.jsonl')).toThrow(/s\.jsonl:1: has no source/)
})

test('strings, continued line comments and lines without an end hide what they hold, and nothing else', () => {
  const layouts = layoutsOf(`
    #error this header isn't for you
    const char *text = "struct mlx5_ifc_text_bits { u8 x[0x20]; \\" };";
    // struct mlx5_ifc_ghost_bits { \\
       u8 x[0x20]; };
    struct mlx5_ifc_real_bits { u8 x[0x20]; };`)
  expect([...layouts.keys()]).toEqual(['real'])
  const { problems } = importHeaders([{ name: 'long.h', text: `"${'\\"'.repeat(500_000)}\n${' {'.repeat(500_000)}` }])
  expect(problems).toEqual([])
})

test('a mask whose constants are bit numbers gets no names for its values', () => {
  const { entries } = importHeaders([
    {
      name: 'mask.h',
      text: `enum { MLX5_CREATE_FLOW_GROUP_IN_MATCH_CRITERIA_ENABLE_OUTER_HEADERS = 0x0, MLX5_CREATE_FLOW_GROUP_IN_MATCH_CRITERIA_ENABLE_MISC_PARAMETERS = 0x1 };
enum { MLX5_CREATE_FLOW_GROUP_IN_GROUP_TYPE_TCAM_SUBTABLE = 0x0, MLX5_CREATE_FLOW_GROUP_IN_GROUP_TYPE_HASH_SPLIT = 0x1 };
struct mlx5_ifc_create_flow_group_in_bits { u8 group_type[0x8]; u8 match_criteria_enable[0x8]; };`,
    },
  ])
  expect(entries.layouts[0]?.fields.map((field) => field.enum)).toEqual([
    'mlx5_create_flow_group_in_group_type',
    undefined,
  ])
})

test('the supplement names reserved fields, and leaves the rest of a layout alone', () => {
  const { entries } = importHeaders([
    {
      name: 'cap.h',
      text: 'struct mlx5_ifc_some_cap_bits { u8 first[0x10]; u8 reserved_at_10[0x10]; u8 last[0x20]; };',
    },
  ])
  const line = (offset: number): string =>
    JSON.stringify({ layout: 'some_cap', named: [['count', offset, 16]], source: 'a test' })
  const { layouts } = applySupplement(entries, line(16), 's.jsonl')
  expect(rows(layouts[0]).map((row) => (row as unknown[]).slice(0, 3))).toEqual([
    ['first', 0, 16],
    ['count', 16, 16],
    ['last', 32, 32],
  ])
  for (const wrong of [0, 8, 48])
    expect(() => applySupplement(entries, line(wrong), 's.jsonl')).toThrow(/s\.jsonl:1: count: no reserved field/)
})
