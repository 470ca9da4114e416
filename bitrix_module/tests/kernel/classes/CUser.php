<?php

// Promises: the person of this hit.
// Leans on: b_user; inactive and blocked people cannot log in.
// Must never: log anybody in by name.

declare(strict_types=1);



class CUser
{
    private int $id = 0;

    public function GetID()
    {
        return $this->id;
    }

    public function IsAuthorized()
    {
        return $this->id > 0;
    }

    public function Authorize($id)
    {
        $row = \Bitrix\Main\Application::getConnection()->query('SELECT ACTIVE FROM b_user WHERE ID = ' . (int)$id)->fetch();
        if ($row === false || $row['ACTIVE'] !== 'Y') {
            return false;
        }
        $this->id = (int)$id;
        return true;
    }
}
