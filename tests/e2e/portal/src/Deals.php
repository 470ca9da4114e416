<?php
// Promises: a table of deals behind crm.deal.*: filter, order, select and pages of 50, as client libraries use them.
// Leans on: State (table `deals`); filters run in PHP, so a test's table should stay in the thousands.
// Never: knows of fields beyond ID and DATE_CREATE: what an app writes is what it reads.
declare(strict_types=1);

namespace StandIn;

final class Deals
{
    private const PAGE = 50;
    /** Two-letter signs come first, or `>=ID` would be read as `>` and a field named `=ID`. */
    private const SIGNS = ['>=', '<=', '!=', '>', '<', '!', '@', '%', '='];

    public function __construct(
        private readonly State $state,
        private readonly Settings $settings,
        private readonly Events $events,
    ) {
    }

    /** @param array<string, mixed> $params fields */
    public function add(array $params, Hit $hit): int
    {
        $id = $this->insert(self::fields($params));
        $this->events->fire('ONCRMDEALADD', ['FIELDS' => ['ID' => $id]], $hit);

        return $id;
    }

    /** @param array<string, mixed> $fields */
    public function insert(array $fields): int
    {
        $fields += ['TITLE' => '', 'DATE_CREATE' => date('c', $this->settings->now())];

        return $this->state->insert('deals', ['fields' => json_encode($fields)]);
    }

    /** @param array<string, mixed> $params id, fields */
    public function update(array $params, Hit $hit): bool
    {
        $deal = self::fields($params) + $this->get($params);
        $id = (int) $deal['ID'];
        unset($deal['ID']);
        $this->state->run('UPDATE deals SET fields = ? WHERE id = ?', json_encode($deal), $id);
        $this->events->fire('ONCRMDEALUPDATE', ['FIELDS' => ['ID' => $id]], $hit);

        return true;
    }

    /**
     * @param array<string, mixed> $params id
     * @return array<string, mixed>
     */
    public function get(array $params): array
    {
        $row = $this->state->row('SELECT * FROM deals WHERE id = ?', (int) ($params['id'] ?? 0));

        return $row === null ? throw new RestError('', 'Not found', 400) : self::deal($row);
    }

    /**
     * @param array<string, mixed> $params filter, order, select, start (-1 = do not count)
     * @return array<string, mixed>
     */
    public function list(array $params): array
    {
        $filter = is_array($params['filter'] ?? null) ? $params['filter'] : [];
        $deals = array_map(self::deal(...), $this->state->rows('SELECT * FROM deals ORDER BY id'));
        $deals = array_values(array_filter($deals, static fn (array $deal): bool => self::fits($deal, $filter)));
        self::sort($deals, is_array($params['order'] ?? null) ? $params['order'] : []);
        $start = (int) ($params['start'] ?? 0);
        $page = array_slice($deals, max($start, 0), self::PAGE);
        $select = is_array($params['select'] ?? null) ? array_map('strtoupper', $params['select']) : [];
        if ($select !== [] && !in_array('*', $select, true)) {
            $wanted = array_flip([...$select, 'ID']);
            $page = array_map(static fn (array $deal): array => array_intersect_key($deal, $wanted), $page);
        }
        $answer = ['result' => $page];
        if ($start >= 0) {
            if ($start + self::PAGE < count($deals)) {
                $answer['next'] = $start + self::PAGE;
            }
            $answer['total'] = count($deals);
        }

        return $answer;
    }

    /** @return array<string, mixed> */
    private static function deal(array $row): array
    {
        return ['ID' => (string) $row['id']] + json_decode($row['fields'], true);
    }

    /** @return array<string, mixed> */
    private static function fields(array $params): array
    {
        $fields = is_array($params['fields'] ?? null) ? $params['fields'] : [];
        unset($fields['ID'], $fields['id']);

        return array_change_key_case($fields, CASE_UPPER);
    }

    private static function fits(array $deal, array $filter): bool
    {
        foreach ($filter as $key => $wanted) {
            $sign = '';
            foreach (self::SIGNS as $candidate) {
                if (str_starts_with((string) $key, $candidate)) {
                    $sign = $candidate;
                    break;
                }
            }
            $has = $deal[strtoupper(substr((string) $key, strlen($sign)))] ?? '';
            $in = in_array((string) $has, array_map('strval', (array) $wanted), true);
            $fits = match ($sign) {
                '>' => $has > $wanted,
                '>=' => $has >= $wanted,
                '<' => $has < $wanted,
                '<=' => $has <= $wanted,
                '!', '!=' => !$in,
                '%' => mb_stripos((string) $has, (string) $wanted) !== false,
                default => $in,
            };
            if (!$fits) {
                return false;
            }
        }

        return true;
    }

    private static function sort(array &$deals, array $order): void
    {
        usort($deals, static function (array $a, array $b) use ($order): int {
            foreach ($order as $field => $direction) {
                $field = strtoupper((string) $field);
                $result = ($a[$field] ?? '') <=> ($b[$field] ?? '');
                if ($result !== 0) {
                    return strtoupper((string) $direction) === 'DESC' ? -$result : $result;
                }
            }

            return 0;
        });
    }
}
