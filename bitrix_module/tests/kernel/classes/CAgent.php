<?php

// Promises: agents in b_agent: what one returns replaces its name, '' deletes it, a throw parks it.
// Leans on: the database.
// Must never: run one that is not due.

declare(strict_types=1);



class CAgent
{
    public static function AddAgent($name, $module = '', $period = 'N', $interval = 86400, $datecheck = '', $active = 'Y', $next_exec = '', $sort = 100, $user_id = false, $existError = true)
    {
        $connection = \Bitrix\Main\Application::getConnection();
        $quoted = array_map($connection->getSqlHelper()->convertToDbString(...), [$name, $module]);
        if ($connection->query('SELECT ID FROM b_agent WHERE NAME = ' . $quoted[0])->fetch() !== false) {
            return !$existError;
        }
        $connection->queryExecute(
            'INSERT INTO b_agent (NAME, MODULE_ID, AGENT_INTERVAL, NEXT_EXEC) VALUES (' . implode(', ', $quoted) . ', ' . (int)$interval . ', ' . time() . ')'
        );
        return true;
    }

    public static function RemoveModuleAgents($module)
    {
        $connection = \Bitrix\Main\Application::getConnection();
        $connection->queryExecute("DELETE FROM b_agent WHERE MODULE_ID = '" . $connection->getSqlHelper()->forSql($module) . "'");
    }

    /** Run what is due at a moment. $USER is null in agents. */
    public static function run(int $now): void
    {
        $GLOBALS['USER'] = null;
        $connection = \Bitrix\Main\Application::getConnection();
        $due = $connection->query('SELECT * FROM b_agent WHERE NEXT_EXEC <= ' . $now . ' ORDER BY ID')->fetchAll();
        foreach ($due as $agent) {
            \Bitrix\Main\Loader::includeModule($agent['MODULE_ID']);
            try {
                $name = (string)eval('return ' . rtrim($agent['NAME'], ';') . ';');
                $next = $now + (int)$agent['AGENT_INTERVAL'];
            } catch (\Throwable) {
                [$name, $next] = [$agent['NAME'], $now + 600];
            }
            $connection->queryExecute(
                $name === ''
                    ? 'DELETE FROM b_agent WHERE ID = ' . (int)$agent['ID']
                    : "UPDATE b_agent SET NAME = '" . $connection->getSqlHelper()->forSql($name) . "', NEXT_EXEC = " . $next . ' WHERE ID = ' . (int)$agent['ID']
            );
        }
    }
}
