<?php

// Promises: whether a user may authorize at all, as the stock validator asks only for tokens it checked online.
// Leans on: one SELECT, remembered on this node for a while, for the answer only ever turns from no to yes.
// Must never: remember a no, or take the place of the kernel's own check of blocked and inactive users.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

use Bitrelay\Connector\Portal\NodeCache;
use Bitrix\Main\Application;
use Bitrix\Main\UserTable;

final class UserAccess
{
    private const REMEMBER_S = 600;

    /** @var array<int, int> when this process last knew, by user */
    private array $known = [];

    public function __construct(private readonly NodeCache $cache)
    {
    }

    public function mayAuthorize(int $userId, int $now): bool
    {
        if ($userId <= 0) {
            return true; // A token without a user logs nobody in.
        }
        if ($now - ($this->known[$userId] ?? 0) < self::REMEMBER_S) {
            return true;
        }
        $mark = 'users/' . $userId % 100 . '/' . $userId;
        $marked = $this->cache->markedAt($mark);
        if ($now - $marked < self::REMEMBER_S) {
            $this->known[$userId] = $marked;
            return true;
        }
        if (!self::ask($userId)) {
            return false;
        }
        $this->cache->write($mark, '');
        return true;
    }

    private static function ask(int $userId): bool
    {
        $row = Application::getConnection()->query(
            'SELECT CONFIRM_CODE, EXTERNAL_AUTH_ID, LAST_LOGIN, LAST_ACTIVITY_DATE FROM b_user WHERE ID = ' . $userId
        )->fetch();
        if (!is_array($row)) {
            return false;
        }
        $row = array_change_key_case($row, CASE_UPPER);
        if (!empty($row['CONFIRM_CODE'])) {
            return false;
        }
        $kind = (string)($row['EXTERNAL_AUTH_ID'] ?? '');
        return $kind === 'rest_system'
            || in_array($kind, UserTable::getExternalUserTypes(), true)
            || (!empty($row['LAST_LOGIN']) && !empty($row['LAST_ACTIVITY_DATE']));
    }
}
